import { string as stringArg } from '@oclif/core/args';

import { BaseCommand, jsonFlag } from '../../cli/base-command.ts';
import { imageJson } from '../../cli/image-rows.ts';
import { printAnswer, printJson, printable, renderBytes } from '../../cli/output.ts';
import { describeSharing, sharingJson, sharingLines } from '../../cli/image-sharing.ts';
import { getImage } from '../../image/get.ts';
import { getManifest } from '../../image/store.ts';
import { podsUsing } from '../../pod/usage.ts';

export default class ImageShow extends BaseCommand {
  static override summary = 'Show what is known of an image';
  static override examples = [
    '<%= config.bin %> image show busybox',
    '<%= config.bin %> image show --json sha512-1a2b3c',
  ];
  static override args = {
    image: stringArg({
      required: true,
      description: 'id, beginning of it, or NAME[:VERSION][,LABEL=VALUE]',
    }),
  };
  static override flags = { ...jsonFlag };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(ImageShow);
    const context = this.createContext(flags);
    context.ensureReady();
    const { layout } = context;
    const meta = getImage(context, args.image);
    const { manifest } = getManifest(layout, meta.id);
    const pods = podsUsing(layout, meta.id);
    const sharing = describeSharing(layout, meta);
    if (flags.json) {
      const { archive, oci, dependencies, entries, warnings } = meta;
      printJson({
        ...imageJson(meta),
        dataset: layout.dataset.image(meta.id),
        archive,
        oci,
        dependencies,
        ...sharingJson(sharing),
        entries,
        warnings,
        pods,
        manifest,
      });
      return;
    }
    const { app } = manifest;
    const lines: [string, string | undefined][] = [
      ['id', meta.id],
      ['name', meta.name],
      ['labels', meta.labels.map(({ name, value }) => `${name}=${value}`).join(' ')],
      ['imported', meta.importedAt],
      ['source', meta.source],
      ['signed by', meta.signedBy ?? 'nobody'],
      [
        'archive',
        meta.archive === undefined
          ? undefined
          : `${renderBytes(meta.archive.sizeBytes)}, ${meta.archive.compression}, ${meta.archive.digest.slice(0, 19)}…`,
      ],
      ...sharingLines(sharing),
      ['files', `${String(meta.entries)}, ${renderBytes(meta.treeBytes)}`],
      ['dataset', layout.dataset.image(meta.id)],
      [
        'runs',
        app?.exec === undefined
          ? 'nothing by itself'
          : app.exec.map((word) => JSON.stringify(word)).join(' '),
      ],
      ['as', app === undefined ? undefined : `${app.user}:${app.group}`],
      ['volumes', app?.mountPoints?.map(({ name, path }) => `${name}=${path}`).join(' ')],
      [
        'ports',
        app?.ports
          ?.map(({ name, port, protocol }) => `${name}=${String(port)}/${protocol}`)
          .join(' '),
      ],
      ['pods', pods.join(' ')],
      ['warnings', meta.warnings.join('; ')],
    ];
    const shown = lines.filter(([, value]) => value !== undefined && value !== '');
    printAnswer(
      shown.map(([key, value]) => `${`${key}:`.padEnd(11)}${printable(value ?? '')}`).join('\n'),
    );
  }
}
