/** The system user and group `_jetpack`, which own nothing but may read what the metadata service must read. Linux. */
import { HostError } from '../errors.ts';
import type { Argv, Run } from '../exec/exec.ts';

export const ACCOUNT = '_jetpack';

export interface Accounts {
  /** The group's id; undefined when there is none. */
  findGroup(): Promise<number | undefined>;
  /** The id of a user, by default of ours; undefined when there is none. */
  findUser(name?: string): Promise<number | undefined>;
  createGroup(): Promise<void>;
  createUser(): Promise<void>;
}

/** getent(1): a key that is not in the database. */
const NOT_FOUND = 2;
/** groupadd(8), useradd(8): the name is in use, so somebody else was faster. */
const NAME_IN_USE = 9;

export function createLinuxAccounts(run: Run): Accounts {
  async function lookUp(database: 'group' | 'passwd', name: string): Promise<number | undefined> {
    const result = await run(['/usr/bin/getent', database, name]);
    if (result.status === 0) {
      const id = result.stdout.split(':')[2];
      return id !== undefined && /^\d+$/.test(id) ? Number(id) : undefined;
    }
    if (result.status === NOT_FOUND) return undefined;
    throw new HostError(
      'TOOL_FAILED',
      `cannot look for ${name} in ${database}: ${result.stderr.trim()}`,
    );
  }

  async function add(argv: Argv, what: string): Promise<void> {
    const result = await run(argv);
    if (result.status === 0 || result.status === NAME_IN_USE) return;
    throw new HostError(
      'TOOL_FAILED',
      `cannot create the ${what} ${ACCOUNT}: ${result.stderr.trim()}`,
      {
        remedies: [`create it with: ${argv.join(' ')}`],
      },
    );
  }

  return {
    findGroup: () => lookUp('group', ACCOUNT),
    findUser: (name = ACCOUNT) => lookUp('passwd', name),
    createGroup: () => add(['/usr/sbin/groupadd', '--system', ACCOUNT], 'group'),
    createUser: () =>
      add(
        [
          '/usr/sbin/useradd',
          '--system',
          '--no-create-home',
          '--home-dir',
          '/nonexistent',
          '--shell',
          '/usr/sbin/nologin',
          '--gid',
          ACCOUNT,
          ACCOUNT,
        ],
        'user',
      ),
  };
}
