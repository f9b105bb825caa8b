import process from 'node:process';

import { boolean, string } from '@oclif/core/flags';
import { string as stringArg } from '@oclif/core/args';

import { BaseCommand, jsonFlag } from '../../cli/base-command.ts';
import { createFetchPorts } from '../../cli/fetch-ports.ts';
import { printAnswer, printJson, tellWarning } from '../../cli/output.ts';
import { saveText } from '../../cli/save-text.ts';
import { createPushProgress } from '../../cli/push-progress.ts';
import { parseSizeBytes } from '../../cli/size.ts';
import { HostError, UsageError } from '../../errors.ts';
import type { DockerRef } from '../../fetch/docker-ref.ts';
import { parseReference } from '../../fetch/ref.ts';
import { createRegistries } from '../../fetch/registry/registries.ts';
import { platformOfAppc } from '../../formats/oci/platform.ts';
import { getImage } from '../../image/get.ts';
import { pushStoredImage } from '../../image/push.ts';

/** More at once is not faster with one registry. */
const PARALLEL = 4;
const COMPRESSIONS = ['gzip', 'zstd', 'none'] as const;

function parseTarget(text: string): DockerRef {
  const reference = parseReference(text);
  if (reference.kind === 'docker') return reference.ref;
  throw new UsageError(`${text} is not in a registry`, {
    remedies: [
      'name it like docker://example.com/team/app:1.0',
      'into a file or a folder: jetpack image export',
    ],
  });
}

export default class ImagePush extends BaseCommand {
  static override summary = 'Send an image to a registry';
  static override description = `An OCI or Docker image goes out as it came, with the same digest; any other is made into one of a single layer. What the registry has already is not sent, and what another of its repositories has is taken from there. Prints the digest that the image can be pulled by. Credentials are looked for as for fetch.`;
  static override examples = [
    '<%= config.bin %> image push docker://alpine:3.20 docker://registry.example.com/team/alpine:3.20',
    '<%= config.bin %> image push example.com/app docker://localhost:5000/app',
    '<%= config.bin %> image push --flat --compression=zstd example.com/app docker://registry.example.com/app:1.0',
  ];
  static override args = {
    image: stringArg({
      required: true,
      description: 'id, beginning of it, NAME[:VERSION][,LABEL=VALUE], or what it was fetched as',
    }),
    target: stringArg({
      required: true,
      description: 'docker://[REGISTRY/]NAME[:TAG|@DIGEST]',
    }),
  };
  static override flags = {
    ...jsonFlag,
    flat: boolean({ summary: 'as one layer, made of its tree' }),
    compression: string({
      options: [...COMPRESSIONS],
      default: 'gzip',
      summary: 'of a layer that is made of the tree',
    }),
    'chunk-size': string({
      helpValue: 'SIZE',
      summary: 'send each blob in chunks of this size (like 16M), not in one piece',
    }),
    'digest-file': string({ helpValue: 'FILE', summary: 'write the digest there' }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(ImagePush);
    const ref = parseTarget(args.target);
    const chunkSize = flags['chunk-size'];
    const chunkBytes =
      chunkSize === undefined ? undefined : parseSizeBytes('--chunk-size', chunkSize);
    const context = this.createContext(flags);
    context.ensureReady();
    const image = getImage(context, args.image);
    const abort = new AbortController();
    const stop = () =>
      abort.abort(
        new HostError('IO_FAILED', `the push to ${args.target} was interrupted`, {
          remedies: ['push it again: what is there is not sent again'],
        }),
      );
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, stop);
    const ports = createFetchPorts({ json: flags.json, now: () => context.now() });
    const target = createRegistries(ports).openTarget(ref);
    const progress = createPushProgress(args.target, {
      nowMs: ports.timing.nowMs,
      json: flags.json,
    });
    const { os, arch } = context.runtime.platform;
    try {
      const result = await pushStoredImage(context.imagePorts, {
        image,
        target,
        form: {
          flat: flags.flat,
          compression: COMPRESSIONS.find((each) => each === flags.compression) ?? 'gzip',
          fallback: platformOfAppc({ os, arch }),
          signal: abort.signal,
        },
        options: {
          timing: ports.timing,
          parallel: PARALLEL,
          chunkBytes,
          signal: abort.signal,
          onProgress: progress.update,
        },
        onTotal: progress.total,
      });
      progress.end();
      for (const lost of result.lost)
        tellWarning(`${lost}: left out, the format has no place for it`, flags.json);
      const { digest, sentBytes } = result;
      if (flags['digest-file'] !== undefined) saveText(flags['digest-file'], `${digest}\n`);
      if (flags.json) {
        const blobs = [...result.outcomes].map(([blob, outcome]) => ({ digest: blob, outcome }));
        printJson({ id: image.id, target: target.name, digest, sentBytes, blobs });
      } else printAnswer(digest);
    } finally {
      progress.end();
      await target.close();
    }
  }
}
