import { string as stringArg } from '@oclif/core/args';

import { BaseCommand, jsonFlag } from '../../cli/base-command.ts';
import { printJson } from '../../cli/output.ts';
import { getImage } from '../../image/get.ts';
import { getManifest } from '../../image/store.ts';

export default class ImageManifest extends BaseCommand {
  static override summary = 'Print the manifest of an image';
  static override examples = ['<%= config.bin %> image manifest busybox'];
  static override args = {
    image: stringArg({
      required: true,
      description: 'id, beginning of it, or NAME[:VERSION][,LABEL=VALUE]',
    }),
  };
  static override flags = { ...jsonFlag };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(ImageManifest);
    const context = this.createContext(flags);
    context.ensureReady();
    const { bytes } = getManifest(context.layout, getImage(context, args.image).id);
    // As it was in the archive, unknown fields included.
    printJson(JSON.parse(bytes.toString('utf8')));
  }
}
