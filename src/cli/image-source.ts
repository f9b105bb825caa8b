/** Where a reference leads: the registry, layout or archive behind it. */
import { openFileSource } from '../fetch/files/open-source.ts';
import type { FetchPorts } from '../fetch/ports.ts';
import { createRegistries } from '../fetch/registry/registries.ts';
import type { OciSource } from '../fetch/source.ts';
import type { OciReference } from '../image/oci-names.ts';
import type { ImagePorts } from '../image/ports.ts';

/** Close it when it is done. Throws HostError CONFIG_INVALID, FetchError. */
export function openSource(
  fetchPorts: FetchPorts,
  { exec, tools, layout }: ImagePorts,
  reference: OciReference,
  signal: AbortSignal,
): Promise<OciSource> {
  if (reference.kind === 'docker')
    return Promise.resolve(createRegistries(fetchPorts).openSource(reference.ref));
  const ports = { exec, tools, scratchDir: layout.dir.blobs };
  return openFileSource(reference, ports, { signal });
}
