import { createReadStream, fstatSync, openSync } from 'node:fs';
import process from 'node:process';

import { string } from '@oclif/core/flags';
import { string as stringArg } from '@oclif/core/args';

import { BaseCommand, jsonFlag } from '../cli/base-command.ts';
import { parseInsecureImage } from '../cli/insecure-options.ts';
import { isTerminal, printAnswer, printJson, tell, tellWarning } from '../cli/output.ts';
import { createProgress } from '../cli/progress.ts';
import { errnoOf, HostError, UsageError } from '../errors.ts';
import { importImage } from '../image/import.ts';
import { saveText } from '../cli/save-text.ts';

/** Opened as a file, or our own standard input. */
function openArchive(file: string): {
  readonly chunks: AsyncIterable<Uint8Array>;
  readonly totalBytes?: number;
} {
  if (file === '-') {
    if (isTerminal(0))
      throw new UsageError('standard input is a terminal, not an archive', {
        remedies: ['jetpack import FILE'],
      });
    return { chunks: process.stdin };
  }
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch (cause) {
    const errno = errnoOf(cause);
    throw new HostError(
      'IO_FAILED',
      `cannot read ${file}: ${errno === 'ENOENT' ? 'there is no such file' : (errno ?? String(cause))}`,
      { cause },
    );
  }
  const stat = fstatSync(fd);
  if (stat.isDirectory()) throw new UsageError(`${file} is a folder, not an archive`);
  const chunks = createReadStream(file, { fd, highWaterMark: 1024 * 1024 });
  return stat.isFile() ? { chunks, totalBytes: stat.size } : { chunks };
}

export default class Import extends BaseCommand {
  static override summary = 'Bring an image archive (ACI) into the store';
  static override description = `Packed with gzip, bzip2, xz, zstd or not at all. It is verified, unpacked and sealed in one pass, whole or not at all; - reads standard input.`;
  static override examples = [
    '<%= config.bin %> import --insecure-options=image app.aci',
    'curl -s https://example.com/app.aci | <%= config.bin %> import --insecure-options=image -',
  ];
  static override args = {
    file: stringArg({ required: true, description: 'the archive, or - for standard input' }),
  };
  static override flags = {
    ...jsonFlag,
    name: string({
      helpValue: 'NAME',
      summary: 'refuse the archive unless its manifest has this name',
    }),
    'save-id': string({ helpValue: 'FILE', summary: "write the image's id there" }),
    'insecure-options': string({
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'image,devices',
      summary: 'image: take it unsigned; devices: with device nodes',
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(Import);
    const insecure = parseInsecureImage(flags['insecure-options'] ?? []);
    const context = this.createContext(flags);
    context.ensureReady();
    const abort = new AbortController();
    const stop = () =>
      abort.abort(
        new HostError(
          'IO_FAILED',
          `the import of ${args.file} was interrupted; nothing of it is left`,
        ),
      );
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, stop);
    const progress = createProgress(`importing ${args.file}`, () => context.now().getTime());
    try {
      const { meta, existing } = await importImage(context.imagePorts, {
        archive: openArchive(args.file),
        source: args.file,
        trust: { verdict: { kind: 'unsigned' }, policy: { allowUnsigned: insecure.image } },
        allowDevices: insecure.devices,
        ...(flags.name === undefined ? {} : { expectedName: flags.name }),
        signal: abort.signal,
        onProgress: ({ readBytes, totalBytes, entries }) =>
          progress.update({ doneBytes: readBytes, totalBytes, note: `${String(entries)} files` }),
      });
      progress.end();
      for (const warning of meta.warnings) tellWarning(warning, flags.json);
      if (existing) tell(`jetpack: image ${meta.name} was in the store already`);
      if (flags['save-id'] !== undefined) saveText(flags['save-id'], `${meta.id}\n`);
      if (flags.json)
        printJson({ id: meta.id, name: meta.name, existing, warnings: meta.warnings });
      else printAnswer(meta.id);
    } finally {
      progress.end();
    }
  }
}
