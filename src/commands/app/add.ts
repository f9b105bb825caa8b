import { BaseCommand, jsonFlag } from '../../cli/base-command.ts';
import { runAppAdd } from '../../cli/app-add.ts';
import { appFlags, podFlags } from '../run.ts';

const {
  volume,
  'set-env': setEnv,
  'insecure-options': insecureOptions,
  'dry-run': dryRun,
} = podFlags;

export default class AppAdd extends BaseCommand {
  static override summary = 'Add an app to a mutable pod';
  static override description = `The pod was made by run --mutable. The app gets a root file system, and can then be started: app start POD:APP. Its name is printed.
Volumes of the pod are mounted by their names; --volume makes a new one.`;
  static override usage = ['app add [FLAGS] POD IMAGE [APP FLAGS] [-- ARGS…]'];
  static override strict = false;
  static override examples = [
    '<%= config.bin %> app add box nginx --name=web',
    "<%= config.bin %> app add box busybox --name=clock --restart=always -- sh -c 'date; sleep 60'",
  ];
  static override flags = {
    ...jsonFlag,
    volume,
    'set-env': setEnv,
    'insecure-options': insecureOptions,
    'dry-run': dryRun,
    ...appFlags,
  };

  override run(): Promise<void> {
    this.parsed = true;
    return runAppAdd(this.argv);
  }
}
