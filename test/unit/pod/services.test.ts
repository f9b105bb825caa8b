import { describe, expect, it } from 'vitest';

import { listensOf, notifiesOf, NOTIFY } from '../../../src/pod/services.ts';
import type { PodApp, PodManifest } from '../../../src/schema/pod-manifest.ts';

function appWith(ports: readonly object[], annotations: readonly object[] = []): PodApp {
  return { name: 'web', app: { user: '0', group: '0', ports }, annotations } as unknown as PodApp;
}

function podWith(ports: readonly object[]): PodManifest {
  return { ports } as unknown as PodManifest;
}

describe('the sockets that an app expects', () => {
  const activated = { name: 'http', protocol: 'tcp', port: 80, socketActivated: true };

  it('are those of its socketActivated ports, and no others', () => {
    const app = appWith([activated, { name: 'admin', protocol: 'tcp', port: 81 }]);
    expect(listensOf(app, podWith([]))).toEqual([{ name: 'http', protocol: 'tcp', port: 80 }]);
  });

  it('are looked for at the port of the host where the pod names one', () => {
    const ports = [
      { name: 'other', hostPort: 1 },
      { name: 'http', hostPort: 8080 },
    ];
    expect(listensOf(appWith([activated]), podWith(ports))).toMatchObject([{ port: 8080 }]);
  });

  it('are one for each port of a range', () => {
    const app = appWith([{ ...activated, protocol: 'UDP', count: 3 }]);
    expect(listensOf(app, podWith([{ name: 'http', hostPort: 90 }]))).toEqual(
      [90, 91, 92].map((port) => ({ name: 'http', protocol: 'udp', port })),
    );
  });

  it('cannot be of another protocol', () => {
    const app = appWith([{ ...activated, protocol: 'sctp' }]);
    expect(() => listensOf(app, podWith([]))).toThrow('of protocol sctp');
  });
});

describe('an app that tells when it is ready', () => {
  it.each([
    ['true', true],
    ['false', false],
    ['yes', false],
  ])('with the annotation "%s": %s', (value, notifies) => {
    expect(notifiesOf(appWith([], [{ name: NOTIFY, value }]))).toBe(notifies);
  });

  it('does so only if something says so', () => {
    expect(notifiesOf(appWith([]))).toBe(false);
  });
});
