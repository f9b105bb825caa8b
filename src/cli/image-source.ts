/** Where a reference leads: the registry, layout or archive behind it. */
import type { FetchPorts } from '../fetch/ports.ts';
import { createRegistries } from '../fetch/registries.ts';
import type { OciSource } from '../fetch/source.ts';
import type { OciReference } from '../image/oci-names.ts';

/** Close it when it is done. Throws HostError CONFIG_INVALID, FetchError. */
export function openSource(ports: FetchPorts, reference: OciReference): Promise<OciSource> {
  switch (reference.kind) {
    case 'docker':
      return Promise.resolve(createRegistries(ports).openSource(reference.ref));
    case 'oci-layout':
    case 'oci-archive':
    case 'docker-archive':
      throw new Error('not yet');
  }
}
