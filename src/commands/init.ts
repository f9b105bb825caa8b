import process from 'node:process';

import { string } from '@oclif/core/flags';

import { BaseCommand, jsonFlag } from '../cli/base-command.ts';
import { configSources, ensureRoot } from '../cli/context.ts';
import { printAnswer, printJson, tell } from '../cli/output.ts';
import { HostError, UsageError } from '../errors.ts';
import { createLinuxAccounts } from '../host/accounts.ts';
import { CONFIG_FILE } from '../host/config.ts';
import { initialise, parseSize, renderInitialiseStep } from '../host/initialise.ts';
import { createLayout } from '../host/layout.ts';
import { parseDatasetName, type DatasetName } from '../zfs/zfs.ts';

export default class Init extends BaseCommand {
  static override summary = 'Make this host ready: root dataset, folders, user and configuration';
  static override description = `Idempotent: what is there already stays. Without root.zfs in the configuration it takes POOL/jetpack of the first pool.
With --pool-file it makes a pool on a file first, for hosts that have none (and imports it again after a reboot).`;
  static override examples = [
    '<%= config.bin %> init',
    '<%= config.bin %> init -o root.zfs=tank/jetpack',
    '<%= config.bin %> init --pool-file /var/lib/jetpack-pool.img --pool-size 10G',
  ];
  static override flags = {
    ...jsonFlag,
    'pool-file': string({
      helpValue: 'FILE',
      summary: 'a pool on this file, made when it is not there',
    }),
    'pool-size': string({
      helpValue: 'SIZE',
      summary: 'of a new file (10G); it takes only the space that is used',
    }),
    'pool-name': string({ summary: 'its name (jetpack)' }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(Init);
    ensureRoot();
    for (const name of ['pool-size', 'pool-name'] as const) {
      if (flags[name] === undefined || flags['pool-file'] !== undefined) continue;
      throw new UsageError(`--${name} is for a pool on a file`, {
        remedies: ['jetpack init --pool-file FILE'],
      });
    }
    const sources = configSources({ configFile: flags.config, overrides: flags.option ?? [] });
    // The file may not be there yet: this command writes it.
    const context = this.createContext(flags, { mayLackFile: true });
    const { zfs, exec, config } = context;
    const poolFile =
      flags['pool-file'] === undefined
        ? undefined
        : {
            pool: flags['pool-name'] ?? 'jetpack',
            file: flags['pool-file'],
            sizeBytes: parseSize(flags['pool-size'] ?? '10G'),
          };
    const root = config['root.zfs'] ?? (await chooseRoot(poolFile?.pool, () => zfs.pools()));
    const layout = createLayout(root, config['root.mountpoint']);
    const steps = await initialise(
      {
        zfs,
        accounts: createLinuxAccounts(exec.run),
        onStep: (step) => tell(`jetpack: ${renderInitialiseStep(step)}`),
      },
      {
        layout,
        configFile: sources.file ?? CONFIG_FILE,
        mdsUser: config['mds.user'],
        ...(poolFile === undefined ? {} : { poolFile }),
      },
    );
    if (flags.json)
      printJson({ root, mountpoint: layout.dir.root, steps: steps.map(renderInitialiseStep) });
    else
      printAnswer(
        `${layout.dataset.root} on ${layout.dir.root} is ready${steps.length === 0 ? ' (nothing to do)' : ''}`,
      );
    process.exitCode = 0;
  }
}

async function chooseRoot(
  pool: string | undefined,
  pools: () => Promise<readonly string[]>,
): Promise<DatasetName> {
  const first = pool ?? (await pools())[0];
  const name = first === undefined ? undefined : parseDatasetName(`${first}/jetpack`);
  if (name !== undefined) return name;
  throw new HostError('NOT_INITIALISED', 'there is no ZFS pool on this host', {
    remedies: [
      'make one with zpool create',
      'or on a file: jetpack init --pool-file /var/lib/jetpack-pool.img --pool-size 10G',
    ],
  });
}
