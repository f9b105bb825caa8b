/**
 * The files below /etc that tell an app where it is: hostname, hosts, resolv.conf (spec/OS-SPEC.md, and what users of pods
 * expect). What a volume of the user covers is left to the volume; what the image has in /etc/hosts stays, unless entries
 * were asked for. Planning is pure; the copy of the host's own files is made when the pod is prepared and again whenever it
 * is run.
 */
import {
  chmodSync,
  closeSync,
  fchmodSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';

import { errnoOf } from '../errors.ts';
import type { PodNetwork } from '../network/network.ts';
import type { PlanMount } from './plan.ts';
import { overlaps } from './reify.ts';

/** What `--dns…` and `--hosts-entry` asked for. */
export interface NameService {
  /** Lines of resolv.conf; `host`: the host's file; `image`: whatever the image has; undefined: as the network has it. */
  readonly resolver: readonly string[] | 'host' | 'image' | undefined;
  /** Lines of /etc/hosts beside those of localhost and the pod; `host`: the host's file; undefined: only where the image has none. */
  readonly hosts: readonly string[] | 'host' | undefined;
}

/** A file in the pod's folder that apps see below /etc. */
export interface HostFile {
  readonly name: 'hostname' | 'hosts' | 'resolv.conf';
  /** Text, or the file of the host whose content it gets, empty where there is none. */
  readonly content: { readonly text: string } | { readonly copyOf: readonly string[] };
  /** Only where the image has nothing, or an empty file, there. */
  readonly onlyMissing: boolean;
}

const LOCALHOST = ['127.0.0.1 localhost', '::1 localhost ip6-localhost ip6-loopback'];

/** A named network namespace may have a resolver of its own, ip-netns(8). */
function hostResolvers(network: PodNetwork): readonly string[] {
  const name = network.kind === 'ns' ? path.basename(network.path) : undefined;
  return [...(name === undefined ? [] : [`/etc/netns/${name}/resolv.conf`]), '/etc/resolv.conf'];
}

function planResolver(resolver: NameService['resolver'], network: PodNetwork): HostFile[] {
  const wanted = resolver ?? (network.kind === 'none' ? 'image' : 'host');
  if (wanted === 'image') return [];
  const content =
    wanted === 'host' ? { copyOf: hostResolvers(network) } : { text: `${wanted.join('\n')}\n` };
  return [{ name: 'resolv.conf', content, onlyMissing: false }];
}

export function planHostFiles(
  { resolver, hosts }: NameService,
  network: PodNetwork,
  hostname: string,
): readonly HostFile[] {
  const lines = [...LOCALHOST, `127.0.1.1 ${hostname}`, ...(hosts === 'host' ? [] : (hosts ?? []))];
  return [
    { name: 'hostname', content: { text: `${hostname}\n` }, onlyMissing: false },
    {
      name: 'hosts',
      content: hosts === 'host' ? { copyOf: ['/etc/hosts'] } : { text: `${lines.join('\n')}\n` },
      onlyMissing: hosts === undefined,
    },
    ...planResolver(resolver, network),
  ];
}

/** The mounts of these files in an app, but for what a volume of the app covers. */
export function planHostFileMounts(
  files: readonly HostFile[],
  podDir: string,
  targets: readonly string[],
): readonly PlanMount[] {
  return files
    .filter(({ name }) => !targets.some((target) => overlaps(target, `/etc/${name}`)))
    .map(({ name, onlyMissing }) => ({
      kind: 'bind',
      source: path.join(podDir, 'etc', name),
      target: `/etc/${name}`,
      options: onlyMissing ? ['ro', 'missing'] : ['ro'],
    }));
}

function contentOf({ content }: HostFile): string | Buffer {
  if ('text' in content) return content.text;
  for (const file of content.copyOf) {
    try {
      return readFileSync(file);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
  }
  return '';
}

/** Into a pod that nobody sees yet. */
export function writeNewHostFiles(podDir: string, files: readonly HostFile[]): void {
  const folder = path.join(podDir, 'etc');
  mkdirSync(folder, { mode: 0o755 });
  for (const file of files) {
    const fd = openSync(path.join(folder, file.name), 'wx');
    writeFileSync(fd, contentOf(file));
    // Whatever the umask is, every user of an app reads it.
    fchmodSync(fd, 0o444);
    closeSync(fd);
  }
}

/** Each replaces an older one as a whole. */
export function replaceHostFiles(podDir: string, files: readonly HostFile[]): void {
  const folder = path.join(podDir, 'etc');
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  for (const file of files) {
    const aside = path.join(folder, `.${file.name}`);
    writeFileSync(aside, contentOf(file), { mode: 0o444 });
    chmodSync(aside, 0o444);
    renameSync(aside, path.join(folder, file.name));
  }
}
