/** `--insecure-options`: words of rkt, as far as they mean something here. */
import { UsageError } from '../errors.ts';

function words(values: readonly string[], known: readonly string[]): readonly string[] {
  const all = values
    .flatMap((value) => value.split(','))
    .filter((word) => word !== '' && word !== 'none');
  const unknown = all.find((word) => !known.includes(word));
  if (unknown === undefined) return all;
  throw new UsageError(`--insecure-options has no "${unknown}"`, {
    remedies: [`it knows: ${known.join(', ')}`],
  });
}

/** For commands that bring images in. */
export function parseInsecureImage(values: readonly string[]): {
  readonly image: boolean;
  readonly devices: boolean;
} {
  const given = words(values, ['image', 'devices', 'all-fetch', 'all']);
  const has = (name: string) => given.includes(name) || given.includes('all');
  return { image: has('image') || given.includes('all-fetch'), devices: has('devices') };
}

/** For commands that run pods, and bring the images for them in. */
export function parseInsecureRun(values: readonly string[]): {
  readonly capabilities: boolean;
  readonly seccomp: boolean;
  readonly paths: boolean;
  readonly image: boolean;
  readonly devices: boolean;
} {
  const given = words(values, [
    'capabilities',
    'seccomp',
    'paths',
    'all-run',
    'image',
    'devices',
    'all-fetch',
    'all',
  ]);
  const off = (name: string) =>
    given.includes(name) || given.includes('all-run') || given.includes('all');
  const has = (name: string) => given.includes(name) || given.includes('all');
  return {
    capabilities: !off('capabilities'),
    seccomp: !off('seccomp'),
    paths: !off('paths'),
    image: has('image') || given.includes('all-fetch'),
    devices: has('devices'),
  };
}
