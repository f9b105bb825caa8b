/** The system user and group `_jetpack`, which own nothing but may read what the metadata service must read. Linux. */
import { HostError } from '../errors.ts';
import type { Argv, Run } from '../exec/exec.ts';

export const ACCOUNT = '_jetpack';

export interface Accounts {
  /** The group's id; undefined when there is none. */
  findGroup(): Promise<number | undefined>;
  hasUser(): Promise<boolean>;
  createGroup(): Promise<void>;
  createUser(): Promise<void>;
}

/** getent(1): a key that is not in the database. */
const NOT_FOUND = 2;
/** groupadd(8), useradd(8): the name is in use, so somebody else was faster. */
const NAME_IN_USE = 9;

export function createLinuxAccounts(run: Run): Accounts {
  async function lookUp(database: 'group' | 'passwd'): Promise<string | undefined> {
    const result = await run(['/usr/bin/getent', database, ACCOUNT]);
    if (result.status === 0) return result.stdout;
    if (result.status === NOT_FOUND) return undefined;
    throw new HostError(
      'TOOL_FAILED',
      `cannot look for ${ACCOUNT} in ${database}: ${result.stderr.trim()}`,
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
    async findGroup() {
      const id = (await lookUp('group'))?.split(':')[2];
      return id !== undefined && /^\d+$/.test(id) ? Number(id) : undefined;
    },
    hasUser: async () => (await lookUp('passwd')) !== undefined,
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
