/**
 * The images that an ACI is rendered on top of (spec/aci.md, "Dependency Matching"). They are looked for in the store, once, when
 * the image that names them is imported: from then on it has their ids, so that nothing that comes later changes what it is.
 */
import { ImageError } from '../errors.ts';
import type { Layout } from '../host/layout.ts';
import type { ImageId } from '../schema/appc.ts';
import type { Dependency, ImageManifest } from '../schema/image-manifest.ts';
import { newestFirst } from './find.ts';
import { matchesLabels } from './ref.ts';
import { findMeta, type ImageMeta, readIndex } from './store.ts';

type Labels = readonly { readonly name: string; readonly value: string }[];

/** An image on the way to a dependency. */
export interface Needer {
  readonly name: string;
  readonly labels: Labels;
}

export interface WantedDependency {
  readonly name: string;
  readonly id: ImageId | undefined;
  readonly labels: Labels;
  /** Of the archive, as it is downloaded. */
  readonly sizeBytes: number | undefined;
  /** Who wants it, the image that the user has named first. */
  readonly neededBy: readonly Needer[];
}

/**
 * Brings a dependency that is not in the store there: with `importImage`, whose request takes over `neededBy`, and `id`, `name`
 * and `sizeBytes` as what is expected. Resolves with false when it knows no place to get it from.
 */
export type FetchDependency = (wanted: WantedDependency) => Promise<boolean>;

export interface ResolveOptions {
  readonly neededBy?: readonly Needer[] | undefined;
  readonly fetch?: FetchDependency | undefined;
}

export const DEPENDENCY_LIMITS = {
  /** How far an image may be from the one that needs it. */
  depth: 64,
  /** How many trees may be rendered on top of each other; an image counts as often as it is. */
  count: 1000,
} as const;

/** In the order of the manifest. Throws IMAGE_DEPENDENCY, which names all that are missing. */
export async function resolveDependencies(
  { layout }: { readonly layout: Layout },
  manifest: Pick<ImageManifest, 'name' | 'labels' | 'dependencies'>,
  options: ResolveOptions = {},
): Promise<readonly ImageMeta[]> {
  const neededBy = [
    ...(options.neededBy ?? []),
    { name: manifest.name, labels: manifest.labels ?? [] },
  ];
  const found: ImageMeta[] = [];
  const missing: WantedDependency[] = [];
  for (const dependency of manifest.dependencies ?? []) {
    const wanted = wantedOf(dependency, neededBy);
    const image = findStored(layout, wanted) ?? (await bringIn(layout, wanted, options.fetch));
    if (image === undefined) missing.push(wanted);
    else found.push(image);
  }
  if (missing.length > 0) throw notThere(manifest.name, missing);
  return found;
}

function wantedOf(
  { imageName, imageID, labels, size }: Dependency,
  neededBy: readonly Needer[],
): WantedDependency {
  return { name: imageName, id: imageID, labels: labels ?? [], sizeBytes: size, neededBy };
}

/** The newest where several match. Throws IMAGE_DEPENDENCY when there is one, and it is not what the manifest says of it. */
function findStored(layout: Layout, wanted: WantedDependency): ImageMeta | undefined {
  const { id, name, labels } = wanted;
  if (id !== undefined) {
    const image = findMeta(layout, id);
    if (image === undefined) return undefined;
    if (image.name !== name || !matchesLabels(image, labels)) {
      throw mismatch(wanted, `the image ${id} is ${describe(image)}`);
    }
    refuseOtherSize(wanted, image);
    return image;
  }
  const matches = readIndex(layout, name)
    .flatMap((each) => findMeta(layout, each) ?? [])
    .filter((image) => image.name === name && matchesLabels(image, labels))
    .sort(newestFirst);
  const [newest] = matches;
  if (newest === undefined) return undefined;
  const ofSize = matches.find((image) => hasSize(wanted, image));
  if (ofSize === undefined) refuseOtherSize(wanted, newest);
  return ofSize;
}

function hasSize({ sizeBytes }: WantedDependency, { archive }: ImageMeta): boolean {
  return sizeBytes === undefined || archive === undefined || archive.sizeBytes === sizeBytes;
}

function refuseOtherSize(wanted: WantedDependency, image: ImageMeta): void {
  if (hasSize(wanted, image)) return;
  throw mismatch(
    wanted,
    `the archive of ${image.id} has ${String(image.archive?.sizeBytes)} bytes and not ${String(wanted.sizeBytes)}`,
  );
}

async function bringIn(
  layout: Layout,
  wanted: WantedDependency,
  fetch: FetchDependency | undefined,
): Promise<ImageMeta | undefined> {
  if (fetch === undefined) return undefined;
  refuseCycle(wanted);
  if (wanted.neededBy.length > DEPENDENCY_LIMITS.depth) throw tooDeep(wanted.neededBy);
  return (await fetch(wanted)) ? findStored(layout, wanted) : undefined;
}

/** What is in the store was rendered without what is not: only images that are yet to come can need each other. */
function refuseCycle({ name, labels, neededBy }: WantedDependency): void {
  const from = neededBy.findIndex(
    (needer) => needer.name === name && matchesLabels(needer, labels),
  );
  if (from < 0) return;
  throw new ImageError(
    'IMAGE_DEPENDENCY',
    `images depend on each other in a circle: ${[...neededBy.slice(from).map(describe), describe({ name, labels })].join(' → ')}`,
    { remedies: ['tell whoever makes these images'] },
  );
}

/** One tree of those that are rendered on top of each other. */
export interface RenderStep {
  readonly image: ImageMeta;
  /** The images whose pathWhitelist concerns it, beginning with its own. */
  readonly filteredBy: readonly ImageId[];
}

/**
 * What is rendered for an image of the store: depth first, in the order of the lists, the image last; one that is needed twice is there
 * twice (spec/ace.md, "Filesystem Setup"). `above`: who needs it. Throws IMAGE_DEPENDENCY.
 */
export function planRendering(
  ports: { readonly layout: Layout },
  image: ImageMeta,
  above: readonly ImageId[] = [],
): readonly RenderStep[] {
  const steps: RenderStep[] = [];
  addSteps(ports.layout, image, above, steps);
  return steps;
}

function addSteps(
  layout: Layout,
  image: ImageMeta,
  above: readonly ImageId[],
  steps: RenderStep[],
): void {
  if (above.length > DEPENDENCY_LIMITS.depth) throw tooDeep([image]);
  const filteredBy = [image.id, ...above];
  for (const id of image.dependencies ?? []) {
    const below = findMeta(layout, id);
    if (below === undefined) {
      throw new ImageError('IMAGE_DEPENDENCY', `${describe(image)} has lost its dependency ${id}`, {
        remedies: ['import it again'],
      });
    }
    addSteps(layout, below, filteredBy, steps);
  }
  steps.push({ image, filteredBy });
  if (steps.length > DEPENDENCY_LIMITS.count) {
    throw new ImageError(
      'IMAGE_DEPENDENCY',
      `more than ${String(DEPENDENCY_LIMITS.count)} images would have to be rendered on top of each other`,
    );
  }
}

function tooDeep(way: readonly Needer[]): ImageError {
  return new ImageError(
    'IMAGE_DEPENDENCY',
    `the dependencies of ${way.map(describe)[0] ?? 'the image'} go deeper than ${String(DEPENDENCY_LIMITS.depth)} images`,
  );
}

function notThere(name: string, missing: readonly WantedDependency[]): ImageError {
  const names = missing.map((wanted) =>
    wanted.id === undefined ? describe(wanted) : `${describe(wanted)} (${wanted.id})`,
  );
  return new ImageError(
    'IMAGE_DEPENDENCY',
    `${name} depends on images that are not in the store: ${names.join('; ')}`,
    { remedies: names.map((each) => `import first: ${each}`) },
  );
}

function mismatch({ name, labels, neededBy }: WantedDependency, what: string): ImageError {
  return new ImageError(
    'IMAGE_DEPENDENCY',
    `${neededBy.at(-1)?.name ?? 'the image'} depends on ${describe({ name, labels })}, but ${what}`,
    { remedies: ['import the very image that it was made with'] },
  );
}

/** As people name an image: `example.com/app:1.0,arch=amd64`. */
function describe({ name, labels }: Needer): string {
  const version = labels.find((label) => label.name === 'version');
  const others = labels.filter((label) => label.name !== 'version');
  return `${name}${version === undefined ? '' : `:${version.value}`}${others.map((label) => `,${label.name}=${label.value}`).join('')}`;
}
