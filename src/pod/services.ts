/**
 * What an app expects of, and tells to, the service manager of the host: sockets that are passed to it (spec/aci.md, ports),
 * and its readiness (spec/aci.md, annotations). Pure.
 */
import { PodError } from '../errors.ts';
import type { Port } from '../schema/appc.ts';
import type { PodApp, PodManifest } from '../schema/pod-manifest.ts';
import type { PlanListen } from './plan.ts';

/** "true": the app tells by sd_notify(3) when it is ready. */
export const NOTIFY = 'appc.io/executor/supports-systemd-notify';

export function notifiesOf(app: PodApp): boolean {
  return app.annotations?.find(({ name }) => name === NOTIFY)?.value === 'true';
}

function listensOfPort(app: PodApp, port: Port, hostPort: number | undefined): PlanListen[] {
  const protocol = port.protocol.toLowerCase();
  if (protocol !== 'tcp' && protocol !== 'udp') {
    throw new PodError(
      'POD_INVALID',
      `app ${app.name}: port "${port.name}" is socketActivated, and of protocol ${port.protocol}`,
      { remedies: ['sockets of tcp and udp can be passed to an app'] },
    );
  }
  return Array.from({ length: port.count ?? 1 }, (_, i) => ({
    name: port.name,
    protocol,
    port: (hostPort ?? port.port) + i,
  }));
}

/** The sockets that an app must be given; each by the port of the host that leads to it, where the pod names one. */
export function listensOf(app: PodApp, pod: PodManifest): readonly PlanListen[] {
  return (app.app?.ports ?? [])
    .filter((port) => port.socketActivated === true)
    .flatMap((port) =>
      listensOfPort(app, port, pod.ports?.find(({ name }) => name === port.name)?.hostPort),
    );
}
