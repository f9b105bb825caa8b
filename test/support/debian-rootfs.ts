/** A real Debian system as an ACI, named `debian`: made once by scripts/make-debian-aci.sh, and kept outside of the repository. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';

/** JETPACK_TEST_CACHE: another folder, for guests that see the project's folder only. */
export const CACHE = process.env['JETPACK_TEST_CACHE'] ?? '/var/cache/jetpack-test';

/** The path of the archive, compressed with gzip. Needs debootstrap and, the first time, a mirror. */
export function debianAci(): string {
  const file = path.join(CACHE, 'debian-minbase.aci');
  if (!existsSync(file)) {
    const script = path.resolve(import.meta.dirname, '../../scripts/make-debian-aci.sh');
    execFileSync('/bin/sh', [script, file], { stdio: ['ignore', 'ignore', 'inherit'] });
  }
  return file;
}
