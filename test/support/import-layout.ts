/** Imports from an image layout, without the command line. */
import { folderFiles } from '../../src/fetch/files/layout-files.ts';
import { layoutSource } from '../../src/fetch/files/layout-source.ts';
import type { Timing } from '../../src/fetch/ports.ts';
import type { OciSource } from '../../src/fetch/source.ts';
import {
  importOci,
  type OciImportRequest,
  type OciImportResult,
} from '../../src/image/import-oci.ts';
import type { ImagePorts } from '../../src/image/ports.ts';

export const TIMING: Timing = {
  nowMs: () => Date.now(),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  random: () => 0.5,
};

export function layoutOf(dir: string, tag: string): OciSource {
  const name = `oci:${dir}:${tag}`;
  return layoutSource(name, folderFiles(dir, name), tag);
}

/** The image is called `example.com/<tag>`, unless `more` says otherwise. */
export async function importLayout(
  ports: ImagePorts,
  source: OciSource,
  tag: string,
  more: Partial<OciImportRequest> = {},
): Promise<OciImportResult> {
  try {
    return await importOci(ports, {
      source,
      platform: { os: 'linux', architecture: 'amd64' },
      names: () => ({ name: `example.com/${tag}`, version: undefined, origin: undefined }),
      trust: { verdict: { kind: 'unsigned' }, policy: { allowUnsigned: true } },
      timing: TIMING,
      ...more,
    });
  } finally {
    await source.close();
  }
}
