/** A real Debian tree as an ACI: made once by debootstrap, and kept outside of the repository. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const CACHE = '/var/cache/jetpack-test/bookworm';

const manifest = {
  acKind: 'ImageManifest',
  acVersion: '0.8.11',
  name: 'example.com/debian',
  labels: [
    { name: 'version', value: '12' },
    { name: 'os', value: 'linux' },
  ],
  app: { exec: ['/bin/bash'], user: '0', group: '0' },
};

/** The path of the archive, compressed with gzip. Needs debootstrap and, the first time, a mirror. */
export function debianAci(): string {
  const file = path.join(CACHE, 'debian.aci');
  if (existsSync(file)) return file;
  const dir = path.join(CACHE, 'tree');
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  execFileSync('debootstrap', ['--variant=minbase', 'bookworm', path.join(dir, 'rootfs')]);
  writeFileSync(path.join(dir, 'manifest'), JSON.stringify(manifest));
  const attributes = ['--numeric-owner', '--xattrs', '--xattrs-include=*'];
  execFileSync('tar', ['-C', dir, ...attributes, '-czf', `${file}.new`, 'manifest', 'rootfs']);
  renameSync(`${file}.new`, file);
  rmSync(dir, { recursive: true });
  return file;
}
