import type { Layout } from '../host/layout.ts';
import { listPodUuids, readPodMeta } from './store.ts';

/** UUIDs of the pods with an app of this image. */
export function podsUsing(layout: Layout, imageId: string): readonly string[] {
  return listPodUuids(layout).filter(
    (uuid) => readPodMeta(layout, uuid)?.apps.some((app) => app.imageId === imageId) === true,
  );
}
