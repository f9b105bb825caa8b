import process from 'node:process';

import { BaseCommand, jsonFlag } from '../../cli/base-command.ts';
import { printable, printAnswer, printJson } from '../../cli/output.ts';
import { podWords } from '../../cli/pod-words.ts';
import { forEach } from '../../cli/several.ts';
import { ImageError } from '../../errors.ts';
import { getImage } from '../../image/get.ts';
import { verifyImage, type VerifyReport } from '../../image/verify.ts';

export default class ImageVerify extends BaseCommand {
  static override summary =
    'Read what is stored of images again, and compare it with what was imported';
  static override description =
    'Every file, link, owner, mode, time and extended attribute. Exit status 1 when anything differs.';
  static override usage = ['image verify IMAGE…'];
  static override strict = false;
  static override examples = [
    '<%= config.bin %> image verify busybox',
    '<%= config.bin %> image verify $(<%= config.bin %> images -q)',
  ];
  static override flags = { ...jsonFlag };

  override async run(): Promise<void> {
    const { flags, argv } = await this.parse(ImageVerify);
    const context = this.createContext(flags);
    context.ensureReady();
    const abort = new AbortController();
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => abort.abort(new Error('interrupted')));
    const reports: ({ readonly id: string; readonly name: string } & VerifyReport)[] = [];
    await forEach(podWords(argv, 'image'), flags, async (reference) => {
      const image = getImage(context, reference);
      const report = await verifyImage(context.imagePorts, image, { signal: abort.signal });
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
          .map(({ id, entries }) => `${id.slice(0, 19)}  ok  ${String(entries)} files`)
          .join('\n'),
      );
  }
}
