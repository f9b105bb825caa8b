import { createReadStream, fstatSync, openSync } from 'node:fs';
import process from 'node:process';

import { string } from '@oclif/core/flags';
import { string as stringArg } from '@oclif/core/args';

import { BaseCommand, jsonFlag } from '../cli/base-command.ts';
import type { Context } from '../cli/context.ts';
import { fetchReference, findArchiveReference } from '../cli/fetch-image.ts';
import { parseInsecureImage } from '../cli/insecure-options.ts';
import { isTerminal, printAnswer, printJson, tell, tellWarning } from '../cli/output.ts';
import { createProgress } from '../cli/progress.ts';
import { errnoOf, HostError, UsageError } from '../errors.ts';
import { parseReference } from '../fetch/ref.ts';
import { isRemote } from '../image/find-fetched.ts';
import { importImage } from '../image/import.ts';
import { isOciReference, type OciReference, parseNames } from '../image/oci-names.ts';
import type { ImageMeta } from '../image/store.ts';
import { platformFlags } from '../cli/platform-flags.ts';
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
  const chunks = createReadStream(file, { fd, highWaterMark: 256 * 1024 });
  return stat.isFile() ? { chunks, totalBytes: stat.size } : { chunks };
}

export default class Import extends BaseCommand {
  static override summary = 'Bring an image from a local archive or layout into the store';
  static override description = `An archive of appc (ACI), of OCI images or of docker save, packed with gzip, bzip2, xz, zstd or not at all: what it is shows in what is in it. Whole or not at all; - reads an ACI from standard input.
Of an archive or layout with several images one is named: oci:DIR:REF, oci-archive:FILE:REF, docker-archive:FILE:REF.`;
  static override examples = [
    '<%= config.bin %> import --insecure-options=image app.aci',
    'curl -s https://example.com/app.aci | <%= config.bin %> import --insecure-options=image -',
    'docker save alpine:3.20 >alpine.tar; <%= config.bin %> import --insecure-options=image alpine.tar',
    '<%= config.bin %> import --insecure-options=image --name=example.com/app:1.0 oci:./layout:latest',
  ];
  static override args = {
    file: stringArg({
      required: true,
      description: 'the archive, - for standard input, or a reference',
    }),
  };
  static override flags = {
    ...jsonFlag,
    name: string({
      helpValue: 'NAME[:VERSION]',
      summary:
        'ACI: refuse it unless its manifest has this name; others: how the image is called here',
    }),
    ...platformFlags,
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
    const context = this.createContext(flags);
    context.ensureReady();
    const settings: Settings = {
      insecure: parseInsecureImage(flags['insecure-options'] ?? []),
      name: flags.name,
      json: flags.json,
      os: flags.os,
      arch: flags.arch,
    };
    const reference = await findReference(context, args.file);
    const { meta, existing } =
      reference === undefined
        ? await importAci(context, args.file, settings)
        : await importOther(context, reference, settings);
    if (existing) tell(`jetpack: image ${meta.name} was in the store already`);
    if (flags['save-id'] !== undefined) saveText(flags['save-id'], `${meta.id}\n`);
    if (flags.json) printJson({ id: meta.id, name: meta.name, existing, warnings: meta.warnings });
    else printAnswer(meta.id);
  }
}

interface Settings {
  readonly insecure: { readonly image: boolean; readonly devices: boolean };
  readonly name: string | undefined;
  readonly json: boolean;
  readonly os: string | undefined;
  readonly arch: string | undefined;
}

interface Imported {
  readonly meta: ImageMeta;
  readonly existing: boolean;
}

/** Of an OCI or Docker image; undefined for an ACI. */
async function findReference(context: Context, file: string): Promise<OciReference | undefined> {
  if (file === '-') return undefined;
  if (!isRemote(file)) return findArchiveReference(context, file);
  const reference = parseReference(file);
  if (reference.kind !== 'docker') return isOciReference(reference) ? reference : undefined;
  throw new UsageError(`${file} is in a registry`, { remedies: [`jetpack fetch ${file}`] });
}

async function importOther(
  context: Context,
  reference: OciReference,
  { insecure, name, json, os, arch }: Settings,
): Promise<Imported> {
  const names = name === undefined ? undefined : parseNames(name);
  return fetchReference(context, reference, { policy: 'update', insecure, names, json, os, arch });
}

async function importAci(
  context: Context,
  file: string,
  { insecure, name, json, os, arch }: Settings,
): Promise<Imported> {
  const given = os === undefined ? arch && '--arch' : '--os';
  if (given !== undefined) {
    throw new UsageError(`${given} does not go with ${file}, which is an image for one platform`);
  }
  const abort = new AbortController();
  const stop = () => {
    abort.abort(
      new HostError('IO_FAILED', `the import of ${file} was interrupted; nothing of it is left`),
    );
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, stop);
  const progress = createProgress(`importing ${file}`, () => context.now().getTime());
  try {
    const { meta, existing } = await importImage(context.imagePorts, {
      archive: openArchive(file),
      source: file,
      trust: { verdict: { kind: 'unsigned' }, policy: { allowUnsigned: insecure.image } },
      allowDevices: insecure.devices,
      ...(name === undefined ? {} : { expectedName: name }),
      signal: abort.signal,
      onProgress: ({ readBytes, totalBytes, entries }) => {
        progress.update({ doneBytes: readBytes, totalBytes, note: `${String(entries)} files` });
      },
    });
    progress.end();
    for (const warning of meta.warnings) tellWarning(warning, json);
    return { meta, existing };
  } finally {
    progress.end();
  }
}
