/** Host volumes: the checks of spec/ace.md before a pod may see a piece of the host. */
import { lstatSync, realpathSync } from 'node:fs';
import path from 'node:path';

import { errnoOf, PodError } from '../errors.ts';
import type { Volume } from '../schema/pod-manifest.ts';

/**
 * Throws POD_VOLUME when a source is missing, or when it or one of its parents is a symbolic link: whoever can write
 * such a link could point the pod at any place of the host.
 */
export function checkHostVolumes(volumes: readonly Volume[]): void {
  for (const volume of volumes) {
    if (volume.kind !== 'host') continue;
    const source = path.posix.normalize(volume.source).replace(/(.)\/$/, '$1');
    let real: string;
    try {
      lstatSync(source);
      real = realpathSync(source);
    } catch (error) {
      const errno = errnoOf(error);
      throw new PodError(
        'POD_VOLUME',
        `volume "${volume.name}": the source ${source} ${errno === 'ENOENT' ? 'is not there' : `cannot be read (${errno ?? 'unknown'})`}`,
        {
          remedies: [`make it first: mkdir -p ${source}`],
          cause: error,
        },
      );
    }
    if (real !== source) {
      throw new PodError(
        'POD_VOLUME',
        `volume "${volume.name}": the source ${source} leads through a symbolic link to ${real}`,
        {
          remedies: [`name the real place: source=${real}`],
        },
      );
    }
  }
}
