/**
 * What an image's own manifest gives its app beyond what every app has. Isolators of an image are obeyed (spec/ace.md), and
 * nobody who runs the image asked for these: so they are told. Pure, and without schemas.
 */
import { capabilityBit, DEFAULT_CAPABILITIES } from '../runtime/capabilities.ts';
import type { App, Isolator } from '../schema/appc.ts';

function setOf({ value }: Isolator): readonly string[] {
  const set = typeof value === 'object' && value !== null && 'set' in value ? value.set : undefined;
  return Array.isArray(set) ? set.filter((name) => typeof name === 'string') : [];
}

function rightsOf(isolator: Isolator): readonly string[] {
  switch (String(isolator.name)) {
    case 'os/linux/capabilities-retain-set':
      return setOf(isolator).filter((name) => {
        const bit = capabilityBit(name);
        return bit !== undefined && (DEFAULT_CAPABILITIES & bit) === 0n;
      });
    case 'os/linux/no-new-privileges':
      return isolator.value === false ? ['new privileges by setuid programs'] : [];
    case 'os/linux/seccomp-retain-set':
    case 'os/linux/seccomp-remove-set':
      return ['a system call filter of its own'];
    default:
      return [];
  }
}

/** `app` is what will run: what a flag or the pod manifest put in the place of the image's isolator is not the image's. */
export function rightsOfImage(image: App | undefined, app: App): readonly string[] {
  const ofImage = new Set((image?.isolators ?? []).map((isolator) => JSON.stringify(isolator)));
  return (app.isolators ?? [])
    .filter((isolator) => ofImage.has(JSON.stringify(isolator)))
    .flatMap(rightsOf);
}
