import { boolean } from '@oclif/core/flags';

import { BaseCommand, jsonFlag } from '../../cli/base-command.ts';
import { findingsOf, printFindings } from '../../cli/findings.ts';
import { collectWithReserve } from '../../host/reserve.ts';
import { collectImages } from '../../image/collect.ts';

export default class ImageGc extends BaseCommand {
  static override summary = 'Remove from the image store what no image needs';
  static override description = `What interrupted work has left, stored archives and layers that no image has, partial downloads, datasets that waited in the trash for their last clone, and stale entries of indexes. Images stay: remove them with image rm. Tells what it removed and what it kept, and why.`;
  static override examples = [
    '<%= config.bin %> image gc',
    '<%= config.bin %> image gc --dry-run --json',
  ];
  static override flags = {
    ...jsonFlag,
    'dry-run': boolean({ summary: 'only say what would be done' }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(ImageGc);
    const context = this.createContext(flags);
    context.ensureReady();
    const options = { dryRun: flags['dry-run'] };
    const collect = () => collectImages(context.imagePorts, options);
    const report = options.dryRun
      ? await collect()
      : await collectWithReserve(context.destroyPorts, collect);
    printFindings(findingsOf(report), { json: flags.json, dryRun: options.dryRun });
  }
}
