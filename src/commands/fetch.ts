import { boolean, string } from '@oclif/core/flags';

import { BaseCommand, jsonFlag } from '../cli/base-command.ts';
import { fetchWord, parsePullPolicy } from '../cli/fetch-image.ts';
import { parseInsecureImage } from '../cli/insecure-options.ts';
import { printAnswer, printJson } from '../cli/output.ts';
import { platformFlags } from '../cli/platform-flags.ts';
import { saveText } from '../cli/save-text.ts';
import { forEachInTurn } from '../cli/several.ts';
import { podWords } from '../cli/pod-words.ts';

/** Like those of `images`. */
const SHORT_ID = 'sha512-'.length + 12;

export default class Fetch extends BaseCommand {
  static override summary = 'Bring images from registries, layouts and archives into the store';
  static override description = `Every layer becomes a snapshot: an image is cloned from the one in the store that shares the most layers with it, and only the others are downloaded and unpacked. What was interrupted goes on where it broke off.
References: docker://[REGISTRY/]NAME[:TAG|@DIGEST], oci:DIR[:REF], oci-archive:FILE[:REF], docker-archive:FILE[:REF], the path of an archive, or the name or id of an image that is in the store.`;
  static override usage = ['fetch REF…'];
  static override strict = false;
  static override examples = [
    '<%= config.bin %> fetch --insecure-options=image docker://alpine:3.20',
    '<%= config.bin %> fetch --insecure-options=image --arch=arm64 docker://example.com:5000/team/app@sha256:…',
    '<%= config.bin %> fetch --insecure-options=image oci:./layout:latest',
  ];
  static override flags = {
    ...jsonFlag,
    'pull-policy': string({
      options: ['never', 'new', 'update'],
      default: 'update',
      summary:
        'never: only what was fetched before; new: what was fetched before is not asked for again; update: ask whether it has changed',
    }),
    ...platformFlags,
    full: boolean({ summary: 'print whole ids' }),
    'save-id': string({ helpValue: 'FILE', summary: "write the images' ids there" }),
    'insecure-options': string({
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'image,devices',
      summary: 'image: take it unsigned; devices: with device nodes',
    }),
  };

  override async run(): Promise<void> {
    const { flags, argv } = await this.parse(Fetch);
    const settings = {
      policy: parsePullPolicy(flags['pull-policy']),
      os: flags.os,
      arch: flags.arch,
      insecure: parseInsecureImage(flags['insecure-options'] ?? []),
      json: flags.json,
    };
    const context = this.createContext(flags);
    context.ensureReady();
    const fetched: FetchedRow[] = [];
    await forEachInTurn(podWords(argv, 'image'), flags, async (word) => {
      const { meta, existing, receivedBytes } = await fetchWord(context, word, settings);
      fetched.push({ ref: word, id: meta.id, name: meta.name, existing, receivedBytes });
    });
    if (flags['save-id'] !== undefined)
      saveText(flags['save-id'], fetched.map(({ id }) => `${id}\n`).join(''));
    if (flags.json) printJson(fetched);
    else {
      const shown = fetched.map(({ id }) => (flags.full ? id : id.slice(0, SHORT_ID)));
      printAnswer(shown.map((id) => `${id}\n`).join(''));
    }
  }
}

interface FetchedRow {
  readonly ref: string;
  readonly id: string;
  readonly name: string;
  /** It was in the store already. */
  readonly existing: boolean;
  readonly receivedBytes: number;
}
