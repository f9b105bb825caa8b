import process from 'node:process';

import { boolean } from '@oclif/core/flags';

import { BaseCommand, jsonFlag } from '../../cli/base-command.ts';
import { printable, printAnswer, printJson } from '../../cli/output.ts';
import { podWords } from '../../cli/pod-words.ts';
import { forEachInTurn } from '../../cli/several.ts';
import { ImageError, UsageError } from '../../errors.ts';
import type { Layout } from '../../host/layout.ts';
import { getImage } from '../../image/get.ts';
import { readImageIds } from '../../image/store.ts';
import { verifyImage, type VerifyReport } from '../../image/verify.ts';
import type { CheckedBlobs } from '../../image/verify-blobs.ts';

function wordsOf(
  { layout }: { readonly layout: Layout },
  argv: readonly unknown[],
  all: boolean,
): readonly string[] {
  if (!all) return podWords(argv, 'image');
  if (argv.length > 0) throw new UsageError('--all means all images: name none beside it');
  return readImageIds(layout);
}

function countOf(blobs: number): string {
  return blobs === 1 ? '1 stored blob' : `${String(blobs)} stored blobs`;
}

export default class ImageVerify extends BaseCommand {
  static override summary =
    'Read what is stored of images again, and compare it with what was imported';
  static override description =
    'The archive or the layers as they came, the snapshots, and every file, link, owner, mode, time and extended attribute. Exit status 1 when anything differs. A damaged archive or layer is not given to other images any more.';
  static override usage = ['image verify IMAGE…', 'image verify --all'];
  static override strict = false;
  static override examples = [
    '<%= config.bin %> image verify busybox',
    '<%= config.bin %> image verify --all --json',
  ];
  static override flags = {
    ...jsonFlag,
    all: boolean({ summary: 'all images of the store' }),
  };

  override async run(): Promise<void> {
    const { flags, argv } = await this.parse(ImageVerify);
    const context = this.createContext(flags);
    context.ensureReady();
    const abort = new AbortController();
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => abort.abort(new Error('interrupted')));
    const reports: ({ readonly id: string; readonly name: string } & VerifyReport)[] = [];
    const checked: CheckedBlobs = new Map();
    // In turn: it is the disk that is waited for.
    await forEachInTurn(wordsOf(context, argv, flags.all), flags, async (reference) => {
      const image = getImage(context, reference);
      const report = await verifyImage(context.imagePorts, image, {
        signal: abort.signal,
        checked,
      });
      reports.push({ id: image.id, name: image.name, ...report });
      if (report.ok) return;
      const shown = report.differences
        .slice(0, 10)
        .map(({ path, kind, detail }) => printable(`${path}: ${kind}: ${detail}`));
      const more = report.differences.length - shown.length + report.more;
      throw new ImageError(
        'IMAGE_DAMAGED',
        [
          `image ${image.name} (${image.id.slice(0, 19)}) is not what was imported:`,
          ...shown,
          ...(more > 0 ? [`… and ${String(more)} more`] : []),
        ].join('\n'),
        {
          remedies: ['import it again after: jetpack image rm'],
        },
      );
    });
    if (flags.json) printJson(reports);
    else
      printAnswer(
        reports
          .filter(({ ok }) => ok)
          .map(
            ({ id, entries, blobs }) =>
              `${id.slice(0, 19)}  ok  ${String(entries)} files, ${countOf(blobs)} read`,
          )
          .join('\n'),
      );
  }
}
