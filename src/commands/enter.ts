import path from 'node:path';

import { boolean, string } from '@oclif/core/flags';

import { BaseCommand, jsonFlag } from '../cli/base-command.ts';
import { splitCommand } from '../cli/enter-grammar.ts';
import { isTerminal } from '../cli/output.ts';
import { EXIT, PodError, UsageError } from '../errors.ts';
import type { Argv } from '../exec/exec.ts';
import { getPodApp } from '../pod/store.ts';

export default class Enter extends BaseCommand {
  static override summary = 'Run a command in a running app, or enter it';
  static override description = `The command gets the app's whole isolation: its namespaces, control group, root file system, capabilities, system call filter, and its user and environment unless other ones are named.
Without a command it is the user's shell of the image's passwd, on a terminal where there is one.`;
  static override usage = ['enter [FLAGS] POD[:APP] [COMMAND ARGS…]'];
  static override strict = false;
  static override examples = [
    '<%= config.bin %> enter web',
    '<%= config.bin %> exec web cat /etc/passwd',
    '<%= config.bin %> exec -t --user=www web:nginx top',
  ];
  static override flags = {
    ...jsonFlag,
    tty: boolean({ char: 't', summary: 'on a terminal' }),
    interactive: boolean({
      char: 'i',
      summary: 'pass standard input on (it always is)',
      hidden: true,
    }),
    user: string({ helpValue: 'NAME|UID|/PATH', summary: "instead of the app's user" }),
    group: string({ helpValue: 'NAME|GID|/PATH', summary: "instead of the app's group" }),
    'working-dir': string({ helpValue: '/PATH', summary: "instead of the app's folder" }),
    'set-env': string({ multiple: true, multipleNonGreedy: true, helpValue: 'NAME=VALUE' }),
  };

  protected override readonly failureExit = EXIT.beforeApp;

  override async run(): Promise<void> {
    const { own, command } = splitCommand(this.argv);
    const { flags, argv } = await this.parse(Enter, own);
    const reference = argv.map(String)[0];
    if (reference === undefined)
      throw new UsageError('no pod was named', { remedies: ['see the pods with: jetpack list'] });
    const context = this.createContext(flags);
    context.ensureReady();
    const { pod, app } = await getPodApp(context.layout, reference);
    if (pod.state !== 'running') {
      throw new PodError('POD_WRONG_STATE', `pod ${pod.uuid} does not run (it is ${pod.state})`, {
        remedies: [`jetpack run ${reference}`],
      });
    }
    const terminal = isTerminal(0);
    const tty = flags.tty || (command.length === 0 && terminal);
    if (flags.tty && !terminal)
      throw new UsageError('--tty needs a terminal, and standard input is none');
    const options = [
      '--interactive',
      ...(tty ? ['--tty'] : []),
      ...(flags.json ? ['--json'] : []),
      ...(flags.user === undefined ? [] : ['--user', flags.user]),
      ...(flags.group === undefined ? [] : ['--group', flags.group]),
      ...(flags['working-dir'] === undefined ? [] : ['--cwd', flags['working-dir']]),
      ...(flags['set-env'] ?? []).flatMap((variable) => ['--env', variable]),
    ];
    const words = command.length === 0 ? [] : ['--', ...command];
    const line: Argv = [
      context.runtime.shim,
      'enter',
      ...options,
      path.join(pod.dir, 'plan'),
      app,
      ...words,
    ];
    context.exec.replace(line);
  }
}
