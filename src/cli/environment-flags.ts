/** Variables for apps from files and from our own environment. */
import { readFileSync } from 'node:fs';

import { errnoOf, UsageError } from '../errors.ts';
import type { EnvironmentVariable } from '../schema/appc.ts';

const LINE = /^([A-Za-z_][A-Za-z_0-9.-]*)=([^\0]*)$/;

/** `NAME=VALUE` lines; empty lines and those that begin with `#` or `;` are comments. Nothing is quoted or expanded. */
export function parseEnvironmentFile(text: string, file: string): readonly EnvironmentVariable[] {
  return text.split(/\r?\n/).flatMap((line, i) => {
    const content = line.trimStart();
    if (content === '' || content.startsWith('#') || content.startsWith(';')) return [];
    const match = LINE.exec(content);
    if (match === null) {
      throw new UsageError(`${file}:${String(i + 1)}: not NAME=VALUE: "${content.slice(0, 80)}"`, {
        remedies: ['comments begin with # or ;'],
      });
    }
    return [{ name: match[1] ?? '', value: match[2] ?? '' }];
  });
}

/** In the order of the files: later ones win. */
export function readEnvironmentFiles(files: readonly string[]): readonly EnvironmentVariable[] {
  return files.flatMap((file) => {
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
    } catch (cause) {
      const why = errnoOf(cause) === 'ENOENT' ? 'there is no such file' : String(errnoOf(cause));
      throw new UsageError(`cannot read --set-env-file ${file}: ${why}`, { cause });
    }
    return parseEnvironmentFile(text, file);
  });
}

/** Between a service manager and us, or our own: they would mean something wrong to an app. */
const NOT_INHERITED =
  /^(LISTEN_(FDS|PID|FDNAMES)|NOTIFY_SOCKET|WATCHDOG_(PID|USEC)|JETPACK_.*|NODE_OPTIONS|PWD|OLDPWD|_)$/;

/** What `--inherit-env` passes on: every variable with a name that appc allows. */
export function inheritedEnvironment(
  own: Readonly<Partial<Record<string, string>>>,
): readonly EnvironmentVariable[] {
  return Object.entries(own).flatMap(([name, value]) =>
    value !== undefined && /^[A-Za-z_][A-Za-z_0-9.-]*$/.test(name) && !NOT_INHERITED.test(name)
      ? [{ name, value }]
      : [],
  );
}
