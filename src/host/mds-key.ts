/** The key that the metadata service signs with: 64 random bytes, made once, readable by the service's account alone. */
import { randomBytes } from 'node:crypto';
import { link, open, rm } from 'node:fs/promises';
import path from 'node:path';

import { errnoOf } from '../errors.ts';
import type { Layout } from './layout.ts';

export const MDS_KEY_BYTES = 64;

export function mdsKeyFile({ dir }: Layout): string {
  return path.join(dir.mds, 'hmac.key');
}

/** Never replaces a key: signatures that pods have given away would be void. Its folder stays root's. */
export async function createMdsKey(file: string, uid: number): Promise<void> {
  const aside = `${file}.new`;
  await rm(aside, { force: true });
  const handle = await open(aside, 'wx', 0o400);
  try {
    await handle.writeFile(randomBytes(MDS_KEY_BYTES));
    await handle.chown(uid, 0);
    await handle.sync();
  } finally {
    await handle.close();
  }
  try {
    await link(aside, file);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  } finally {
    await rm(aside, { force: true });
  }
}
