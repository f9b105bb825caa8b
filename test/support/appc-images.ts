/** Images for tests of what appc says: a static shell, the payload, and whatever the test adds. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { makeAci, PROJECT, type JetpackHost } from './jetpack-host.ts';

const APPLETS = [
  'cat chmod chown cmp cut date df dd echo env false grep head hostname id ipcs kill ls mkdir mount',
  'nc ps pwd readlink rm sed sh sleep sort stat test touch tr true wc wget whoami',
]
  .join(' ')
  .split(' ');

export const LABELS = [
  { name: 'os', value: 'linux' },
  { name: 'arch', value: process.arch === 'arm64' ? 'aarch64' : 'amd64' },
];

function fillShell(rootfs: string): void {
  for (const folder of ['bin', 'etc', 'srv', 'tmp', 'home'])
    mkdirSync(path.join(rootfs, folder), { mode: 0o755 });
  const busybox = spawnSync('/bin/sh', ['-c', 'command -v busybox'], { encoding: 'utf8' });
  copyFileSync(busybox.stdout.trim(), path.join(rootfs, 'bin', 'busybox'));
  copyFileSync(path.join(PROJECT, 'shim/build/payload'), path.join(rootfs, 'bin', 'payload'));
  for (const applet of APPLETS) symlinkSync('busybox', path.join(rootfs, 'bin', applet));
  writeFileSync(
    path.join(rootfs, 'etc/passwd'),
    'root:x:0:0::/root:/bin/sh\nwww:x:33:34:w:/srv:/bin/false\n1234:x:77:78::/:/bin/sh\n',
  );
  writeFileSync(path.join(rootfs, 'etc/group'), 'root:x:0:\nwww:x:34:\nstaff:x:50:www\n');
}

/** Makes and imports an image whose app is `app` over `sh`; returns its id. */
export function addImage(
  host: JetpackHost,
  name: string,
  {
    app = {},
    manifest = {},
    fill,
  }: {
    readonly app?: object | undefined;
    readonly manifest?: object;
    readonly fill?: (rootfs: string) => void;
  } = {},
): string {
  const aci = makeAci(
    host,
    {
      acKind: 'ImageManifest',
      acVersion: '0.8.11',
      name,
      labels: LABELS,
      app: { exec: ['/bin/sh'], user: '0', group: '0', ...app },
      ...manifest,
    },
    (rootfs) => {
      fillShell(rootfs);
      fill?.(rootfs);
    },
  );
  return (host.json('import', '--insecure-options=image', aci) as { readonly id: string }).id;
}
