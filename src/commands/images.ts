import process from 'node:process';

import { boolean, string } from '@oclif/core/flags';

import { BaseCommand, jsonFlag } from '../cli/base-command.ts';
import { imageJson, versionOf } from '../cli/image-rows.ts';
import { printAnswer, printJson, renderAge, renderBytes, renderTable } from '../cli/output.ts';
import { showError } from '../cli/show-error.ts';
import { listImages } from '../image/list.ts';
import { showTree } from '../cli/image-tree.ts';
import type { ImageMeta } from '../image/store.ts';

const SORTS: Readonly<Record<string, (a: ImageMeta, b: ImageMeta) => number>> = {
  name: (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  age: (a, b) => (a.importedAt < b.importedAt ? 1 : -1),
  size: (a, b) => b.treeBytes - a.treeBytes,
};

export default class Images extends BaseCommand {
  static override summary = 'List the images in the store';
  static override examples = [
    '<%= config.bin %> images',
    '<%= config.bin %> images --full --sort=size',
    '<%= config.bin %> images --tree',
    '<%= config.bin %> images --json',
  ];
  static override flags = {
    ...jsonFlag,
    full: boolean({ summary: 'whole ids and exact times' }),
    quiet: boolean({ char: 'q', summary: 'only the ids' }),
    tree: boolean({
      exclusive: ['quiet'],
      summary: 'below the images that they share layers with or depend on',
    }),
    sort: string({ options: Object.keys(SORTS), default: 'age', summary: 'by what' }),
    'no-legend': boolean({ summary: 'no header' }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(Images);
    const context = this.createContext(flags);
    context.ensureReady();
    const { images, damaged } = listImages(context);
    for (const error of damaged)
      process.exitCode = showError(error, { json: flags.json, debug: false });
    const sorted = [...images].sort(SORTS[flags.sort]);
    if (flags.tree) {
      await showTree(context, sorted, flags);
      return;
    }
    if (flags.json) {
      printJson(sorted.map(imageJson));
      return;
    }
    if (flags.quiet) {
      printAnswer(sorted.map(({ id }) => `${id}\n`).join(''));
      return;
    }
    const nowMs = context.now().getTime();
    const rows = sorted.map((meta) => [
      flags.full ? meta.id : meta.id.slice(0, 'sha512-'.length + 12),
      meta.name,
      versionOf(meta) || '-',
      flags.full ? meta.importedAt : `${renderAge(nowMs - Date.parse(meta.importedAt))} ago`,
      flags.full ? String(meta.treeBytes) : renderBytes(meta.treeBytes),
    ]);
    printAnswer(
      renderTable(
        flags['no-legend'] ? undefined : ['ID', 'NAME', 'VERSION', 'IMPORTED', 'SIZE'],
        rows,
      ),
    );
  }
}
