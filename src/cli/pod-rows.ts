/** What `list` and `status` say of a pod, as JSON; one model for both. */
import type { PodStatus } from '../pod/store.ts';

export function podJson(pod: PodStatus) {
  return {
    uuid: pod.uuid,
    name: pod.meta?.name ?? null,
    state: pod.state,
    createdAt: pod.meta?.createdAt ?? null,
    startedAt: pod.startedAt ?? null,
    readyAt: pod.readyAt ?? null,
    finishedAt: pod.finishedAt ?? null,
    exitStatus: pod.exitStatus ?? null,
    supervisorKilled: pod.supervisorKilled,
    supervisorPid: pod.supervisorPid ?? null,
    initPid: pod.initPid ?? null,
    net: pod.meta?.net ?? null,
    isolators: pod.meta?.isolators ?? null,
    apps: pod.apps.map((app) => ({
      name: app.name,
      image: { id: app.imageId, name: app.imageName ?? null },
      state: app.state,
      pid: app.pid ?? null,
      startedAt: app.startedAt ?? null,
      readyAt: app.readyAt ?? null,
      finishedAt: app.finishedAt ?? null,
      exitStatus: app.exitStatus ?? null,
      restarts: app.restarts,
      signal: app.signal ?? null,
      oomKilled: app.oomKilled,
      oomKills: app.oomKills,
      error: app.error ?? null,
      isolators: pod.meta?.apps.find(({ name }) => name === app.name)?.isolators ?? null,
    })),
  };
}
