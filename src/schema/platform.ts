/** The labels os and arch (spec/aci.md): for which system and processor an image is made. */
import type { Label } from './appc.ts';

/** The values of the labels os and arch that the specification knows. */
export const ARCHITECTURES: Readonly<Record<string, readonly string[]>> = {
  linux: [
    'amd64',
    'i386',
    'aarch64',
    'aarch64_be',
    'armv6l',
    'armv7l',
    'armv7b',
    'ppc64',
    'ppc64le',
    's390x',
  ],
  freebsd: ['amd64', 'i386', 'arm'],
  darwin: ['x86_64', 'i386'],
};

export interface ImagePlatform {
  readonly os: string | undefined;
  readonly arch: string | undefined;
}

export function platformOf(
  labels: readonly { readonly name: string; readonly value: string }[] | undefined,
): ImagePlatform {
  const value = (name: string) => labels?.find((label) => label.name === name)?.value;
  return { os: value('os'), arch: value('arch') };
}

/** Oddities of the labels os and arch that are no fault. */
export function platformWarning(labels: readonly Label[] | undefined): string | undefined {
  const { os, arch } = platformOf(labels);
  if (os === undefined) {
    return arch === undefined ? undefined : `arch ${arch} means nothing without the label os`;
  }
  const known = Object.hasOwn(ARCHITECTURES, os) ? ARCHITECTURES[os] : undefined;
  if (known === undefined) return `os ${os} is not one of appc`;
  if (arch === undefined || known.includes(arch)) return undefined;
  return `arch ${arch} is not one that appc has for ${os}`;
}
