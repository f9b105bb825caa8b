/** What a service manager gives the program that it starts: sd_listen_fds(3), sd_notify(3). */
import { PodError } from '../errors.ts';
import type { Argv, Exec } from '../exec/exec.ts';
import type { Plan } from '../pod/plan.ts';

export interface Given {
  /** Descriptors from 3 on. */
  readonly sockets: number;
  readonly notifySocket: string | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** As many as the shim takes (shim/PLAN.md). */
const MAX_SOCKETS = 64;

/** Sockets count only for the process that LISTEN_PID names. */
export function parseGiven(env: Environment, pid: number): Given {
  const count = Number(env['LISTEN_FDS']);
  const isOurs = env['LISTEN_PID'] === String(pid) && Number.isInteger(count) && count > 0;
  return {
    sockets: isOurs ? Math.min(count, MAX_SOCKETS) : 0,
    notifySocket: env['NOTIFY_SOCKET'] || undefined,
  };
}

/** Refuses early what the shim would refuse late: an app that waits for a socket, when there is none at all. */
export function checkGiven(plan: Plan, { sockets }: Given): void {
  if (sockets > 0) return;
  for (const app of plan.apps) {
    const [wanted] = app.listen;
    if (wanted === undefined) continue;
    const { name, protocol, port } = wanted;
    throw new PodError(
      'POD_SOCKETS',
      `app ${app.name} expects a listening socket for its port "${name}" (${protocol} ${String(port)}), and none was passed`,
      {
        remedies: [
          'start the pod by a socket unit of systemd',
          `${protocol === 'udp' ? 'systemd-socket-activate --datagram' : 'systemd-socket-activate'} -l ${String(port)} jetpack run …`,
        ],
      },
    );
  }
}

/**
 * The environment that hands it on to the shim, which becomes this very process. Node has marked the descriptors so that they do not survive that:
 * a child holds them until the shim takes them back (shim/PLAN.md).
 */
export function handOn(
  { sockets, notifySocket }: Given,
  pid: number,
  shim: string,
  exec: Exec,
): Readonly<Record<string, string>> {
  const notify = notifySocket === undefined ? {} : { NOTIFY_SOCKET: notifySocket };
  if (sockets === 0) return notify;
  const holder: Argv = [shim, 'hold'];
  return {
    ...notify,
    LISTEN_FDS: String(sockets),
    LISTEN_PID: String(pid),
    JETPACK_LISTEN_HOLDER: String(exec.hold(holder, sockets)),
  };
}
