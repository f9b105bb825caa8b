import process from 'node:process';

import { boolean, string } from '@oclif/core/flags';
import { string as stringArg } from '@oclif/core/args';

import { archiveWriter, isFolderTarget } from '../../cli/archive-output.ts';
import { BaseCommand, jsonFlag } from '../../cli/base-command.ts';
import { printAnswer, printJson, tellWarning } from '../../cli/output.ts';
import { createProgress } from '../../cli/progress.ts';
import { HostError, UsageError } from '../../errors.ts';
import { platformOfAppc } from '../../formats/oci/platform.ts';
import {
  EXPORT_FORMATS,
  type ExportFormat,
  exportImage,
  type ExportTarget,
} from '../../image/export.ts';
import { getImage } from '../../image/get.ts';

/** A folder is a layout; every other format needs a file, which is refused before anything is read. */
function targetOf(file: string, format: ExportFormat): ExportTarget {
  if (!isFolderTarget(file)) return { kind: 'archive', write: archiveWriter(file, 'an image') };
  if (format === 'oci') return { kind: 'folder', dir: file };
  throw new UsageError(`${file} is a folder, and only --format oci writes those`, {
    remedies: ['name a file'],
  });
}

export default class ImageExport extends BaseCommand {
  static override summary = 'Write an image as an ACI, or as an OCI or Docker image';
  static override description = `An ACI is given back as it came, the very bytes; an OCI image in the format oci likewise, its manifest and its layers. In any other form the image is made from its tree, the same bytes every time. Prints the id of the ACI, the digest of the OCI image's manifest or of the Docker image's configuration, unless the image itself goes to standard output.`;
  static override examples = [
    '<%= config.bin %> image export example.com/app app.aci',
    '<%= config.bin %> image export --format oci docker://alpine:3.20 alpine.tar',
    '<%= config.bin %> image export --format oci --name 3.20 docker://alpine:3.20 layout/',
    '<%= config.bin %> image export --format docker example.com/app | docker load',
  ];
  static override args = {
    image: stringArg({
      required: true,
      description: 'id, beginning of it, or NAME[:VERSION][,LABEL=VALUE]',
    }),
    file: stringArg({
      default: '-',
      description:
        'where to; - for standard output; with --format oci a folder (or a name with / at its end) becomes an image layout',
    }),
  };
  static override flags = {
    ...jsonFlag,
    format: string({
      options: [...EXPORT_FORMATS],
      default: 'aci',
      helpValue: 'aci|oci|docker',
      summary: 'what to write it as',
    }),
    flat: boolean({
      summary: 'from its tree: without dependencies, and with one layer in place of all',
    }),
    name: string({
      helpValue: 'REF',
      summary: 'what an OCI or Docker image is called there, instead of what it was called',
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(ImageExport);
    const format = EXPORT_FORMATS.find((each) => each === flags.format) ?? 'aci';
    const to = targetOf(args.file, format);
    const context = this.createContext(flags);
    context.ensureReady();
    const image = getImage(context, args.image);
    const abort = new AbortController();
    const stop = () =>
      abort.abort(
        new HostError('IO_FAILED', `the export to ${args.file} was interrupted; nothing is left`),
      );
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, stop);
    const progress = createProgress(`exporting ${image.name}`, () => context.now().getTime());
    const { os, arch } = context.runtime.platform;
    try {
      const result = await exportImage(context.imagePorts, {
        image,
        format,
        flat: flags.flat,
        name: flags.name,
        fallback: platformOfAppc({ os, arch }),
        to,
        signal: abort.signal,
        onProgress: (doneBytes) => progress.update({ doneBytes, totalBytes: undefined, note: '' }),
      });
      progress.end();
      for (const lost of result.lost)
        tellWarning(`${lost}: left out, the format has no place for it`, flags.json);
      if (args.file === '-') return;
      const { id, writtenBytes } = result;
      if (flags.json)
        printJson({ id, format, file: args.file, bytes: writtenBytes, lost: result.lost });
      else printAnswer(id);
    } finally {
      progress.end();
    }
  }
}
