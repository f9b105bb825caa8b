/** Users and groups of /etc/passwd and /etc/group, read without starting getent(1). */
import { readFileSync } from 'node:fs';

function linesOf(file: string): readonly (readonly string[])[] {
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .map((line) => line.split(':'));
  } catch {
    return [];
  }
}

function fieldsOf(file: string, name: string): readonly string[] | undefined {
  return linesOf(file).find((fields) => fields[0] === name);
}

export function findGroupId(name: string): number | undefined {
  const gid = fieldsOf('/etc/group', name)?.[2];
  return gid === undefined ? undefined : Number(gid);
}

/** Never the superuser, by whatever name. */
export function findAccount(
  name: string,
): { readonly uid: number; readonly gid: number } | undefined {
  const [, , uid, gid] = fieldsOf('/etc/passwd', name) ?? [];
  if (uid === undefined || gid === undefined || Number(uid) === 0) return undefined;
  return { uid: Number(uid), gid: Number(gid) };
}

export function findUserName(uid: number): string | undefined {
  return linesOf('/etc/passwd').find((fields) => fields[2] === String(uid))?.[0];
}
