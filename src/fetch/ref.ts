/** The kinds of references to images (the command line's "Refs"): what each text means. Pure. */
import { UsageError } from '../errors.ts';
import { type DockerRef, parseDockerRef } from './docker-ref.ts';

export type ImageReference =
  | { readonly kind: 'docker'; readonly ref: DockerRef }
  | { readonly kind: 'oci-layout'; readonly dir: string; readonly ref: string | undefined }
  | { readonly kind: 'oci-archive'; readonly file: string; readonly ref: string | undefined }
  | { readonly kind: 'docker-archive'; readonly file: string; readonly ref: string | undefined }
  /** An ACI: `https://…`, and `http://…`, which somebody has to allow. */
  | { readonly kind: 'url'; readonly url: string }
  /** An archive of any known format: `file://…`, or a path with a slash in front or `./`. */
  | { readonly kind: 'file'; readonly file: string }
  | { readonly kind: 'id'; readonly id: string }
  /** Of appc: `name[:version][,label=value]…`, or the beginning of an id. */
  | { readonly kind: 'name'; readonly text: string };

/** Throws UsageError for what is no reference. Never looks at the disk. */
export function parseReference(text: string): ImageReference {
  if (text === '' || text.includes('\0')) throw new UsageError('the reference is empty');
  const rest = (prefix: string): string | undefined =>
    text.startsWith(prefix) ? text.slice(prefix.length) : undefined;
  if (text.startsWith('docker://')) return { kind: 'docker', ref: parseDockerRef(text) };
  const layout = rest('oci:');
  if (layout !== undefined) {
    const { place, ref } = splitPlace(text, layout);
    return { kind: 'oci-layout', dir: place, ref };
  }
  for (const kind of ['oci-archive', 'docker-archive'] as const) {
    const archive = rest(`${kind}:`);
    if (archive === undefined) continue;
    const { place, ref } = splitPlace(text, archive);
    return { kind, file: place, ref };
  }
  if (/^https?:\/\//.test(text)) return { kind: 'url', url: text };
  const file = rest('file://');
  if (file !== undefined) {
    if (!file.startsWith('/')) {
      throw new UsageError(`${text} names no file: file:// is followed by an absolute path`);
    }
    return { kind: 'file', file };
  }
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//.exec(text)?.[1];
  if (scheme !== undefined) {
    throw new UsageError(`${text}: there is no kind of reference called ${scheme}`, {
      remedies: [
        'docker://, oci:, oci-archive:, docker-archive:, https://, file://, a path, or the name of an image',
      ],
    });
  }
  if (/^(?:\/|\.\.?\/)/.test(text) || text === '.' || text === '..')
    return { kind: 'file', file: text };
  if (/^sha512-[0-9a-f]{1,128}$/.test(text)) return { kind: 'id', id: text };
  return { kind: 'name', text };
}

/** `DIR[:ref]`. As in the other tools, a path has no colon: the first one begins the reference. */
function splitPlace(
  text: string,
  rest: string,
): { readonly place: string; readonly ref: string | undefined } {
  const colon = rest.indexOf(':');
  const place = colon < 0 ? rest : rest.slice(0, colon);
  const ref = colon < 0 ? '' : rest.slice(colon + 1);
  if (place === '') throw new UsageError(`${text} names no file or folder`);
  return { place, ref: ref === '' ? undefined : ref };
}
