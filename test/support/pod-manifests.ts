/** Pod manifests to change at any place. */

export const IMAGE_ID = `sha512-${'a'.repeat(128)}`;

/** Everything that a pod manifest can have, and nothing that a host without control groups could not do. */
export const WHOLE_POD_MANIFEST = {
  acKind: 'PodManifest',
  acVersion: '0.8.11',
  apps: [
    {
      name: 'a',
      image: { id: IMAGE_ID, name: 'example.com/a', labels: [{ name: 'os', value: 'linux' }] },
      app: {
        exec: ['/bin/sh', '-c', 'true'],
        user: '0',
        group: '0',
        supplementaryGids: [1],
        environment: [{ name: 'A', value: 'b' }],
        mountPoints: [{ name: 'm', path: '/m', readOnly: true }],
        ports: [{ name: 'http', protocol: 'tcp', port: 80, count: 2, socketActivated: false }],
        eventHandlers: [{ name: 'pre-start', exec: ['/x'] }],
        isolators: [
          { name: 'os/linux/capabilities-retain-set', value: { set: ['CAP_KILL'] } },
          { name: 'os/linux/oom-score-adj', value: 5 },
        ],
        workingDirectory: '/w',
        userAnnotations: { a: 'b' },
      },
      readOnlyRootFS: true,
      mounts: [
        { volume: 'v', path: '/v' },
        { volume: 'o', path: '/o', appVolume: { name: 'o', kind: 'empty', mode: '0700' } },
      ],
      annotations: [{ name: 'jetpack/restart', value: 'on-failure:3' }],
    },
    { name: 'b', image: { id: IMAGE_ID } },
  ],
  volumes: [
    { name: 'v', kind: 'host', source: '/usr', readOnly: true, recursive: false },
    { name: 'w', kind: 'empty', mode: '0755', uid: 1, gid: 2 },
  ],
  isolators: [{ name: 'os/unix/sysctl', value: { 'kernel.shm_rmid_forced': '1' } }],
  annotations: [{ name: 'a', value: 'b' }],
  ports: [{ name: 'http', hostPort: 8080, hostIP: '127.0.0.1', podPort: 80 }],
  userLabels: { a: 'b' },
};

/** Where a value stands in a document. */
export type Place = readonly string[];

export function* everyPlace(value: unknown, place: Place = []): Generator<Place> {
  if (typeof value !== 'object' || value === null) return;
  for (const [key, field] of Object.entries(value)) {
    yield [...place, key];
    yield* everyPlace(field, [...place, key]);
  }
}

/** A copy of the document with another value there. */
export function withChange(document: object, place: Place, value: unknown): object {
  const changed = structuredClone(document);
  let at = changed as Record<string, unknown>;
  for (const key of place.slice(0, -1)) at = at[key] as Record<string, unknown>;
  at[place.at(-1) ?? ''] = value;
  return changed;
}
