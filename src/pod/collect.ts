/** gc of pods: explains every pod, folder and dataset, goes on past what is missing or will not go, and never guesses. */
import { lstatSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import path from 'node:path';

import { isAnswered } from '../host/lease.ts';
import type { DatasetName } from '../zfs/zfs.ts';
import { destroyPod, moveMarker, removeEmptyFolder, type DestroyPorts } from './destroy.ts';
import { isGone, type PodState } from './model.ts';
import { collectLeftovers, mayHaveLeftovers } from './collect-apps.ts';
import { dropStaleName } from './names.ts';
import { isPodUuid, listPods, listPodUuids, type Pod } from './store.ts';

export interface CollectOptions {
  readonly gracePeriodMs: number;
  readonly expirePreparedMs: number;
  /** Only mark what is to go; the next gc without it removes them. */
  readonly markOnly: boolean;
  readonly dryRun: boolean;
  readonly nowMs: number;
}

export interface Finding {
  /** What it is, e.g. `pod 1234…` or `dataset tank/jetpack/pods/1234…`. */
  readonly what: string;
  readonly action: 'removed' | 'marked' | 'mended' | 'kept' | 'failed';
  readonly why: string;
}

interface Decision {
  readonly remove: boolean;
  readonly mark: boolean;
  readonly why: string;
}

/** What gc does with a pod: a pure function of its state and age. */
export function decide(state: PodState, ageMs: number, options: CollectOptions): Decision {
  const keep = (why: string): Decision => ({ remove: false, mark: false, why });
  const remove = (why: string): Decision => ({ remove: true, mark: true, why });
  switch (state) {
    case 'embryo':
    case 'preparing':
      return keep('it is being prepared');
    case 'running':
      return keep('it runs');
    case 'prepared':
      return ageMs >= options.expirePreparedMs
        ? remove('prepared, and never started in time')
        : keep('prepared, not expired');
    case 'exited':
      return ageMs >= options.gracePeriodMs
        ? remove('exited')
        : { remove: false, mark: true, why: 'exited, in its grace period' };
    case 'garbage':
      return ageMs >= options.gracePeriodMs
        ? remove('garbage')
        : keep('garbage, in its grace period');
    case 'aborted':
      return remove('its preparation was aborted');
    case 'deleting':
      return remove('its removal was interrupted');
  }
}

async function collectPod(
  ports: DestroyPorts,
  pod: Pod,
  options: CollectOptions,
): Promise<Finding> {
  const what = `pod ${pod.uuid}`;
  const decision = decide(pod.state, options.nowMs - pod.changedAtMs, options);
  if (options.markOnly) {
    if (!decision.mark || pod.state === 'garbage')
      return { what, action: 'kept', why: decision.why };
    const { marker } = pod;
    const done = options.dryRun || (marker !== undefined && moveMarker(pod.dir, marker, 'garbage'));
    return done
      ? { what, action: 'marked', why: decision.why }
      : { what, action: 'kept', why: 'it was started meanwhile' };
  }
  if (!decision.remove) return { what, action: 'kept', why: decision.why };
  if (!options.dryRun) await destroyPod(ports, pod);
  return { what, action: 'removed', why: decision.why };
}

function failure(what: string, error: unknown): Finding {
  return { what, action: 'failed', why: error instanceof Error ? error.message : String(error) };
}

async function attempt(
  what: string,
  why: string,
  dryRun: boolean,
  action: () => void | Promise<void>,
): Promise<Finding> {
  try {
    if (!dryRun) await action();
    return { what, action: 'removed', why };
  } catch (error) {
    return failure(what, error);
  }
}

/** A pod's folder comes before its datasets and goes after them, all under its lease: without both it is an orphan. */
async function isOrphan({ layout }: DestroyPorts, uuid: string): Promise<boolean> {
  if (await isAnswered(layout.dir.lease(uuid))) return false;
  return !listPodUuids(layout).includes(uuid);
}

async function collectDatasets(ports: DestroyPorts, dryRun: boolean): Promise<Finding[]> {
  const { zfs, layout } = ports;
  const findings: Finding[] = [];
  const childrenOf = async (parent: DatasetName) =>
    (await zfs.list(parent, { depth: 1, types: ['filesystem'] }))
      .map((row) => row.name)
      .filter((name) => name !== parent);
  for (const name of await childrenOf(layout.dataset.pods)) {
    const uuid = name.slice(name.lastIndexOf('/') + 1);
    if (!isPodUuid(uuid)) {
      findings.push({ what: `dataset ${name}`, action: 'kept', why: 'it is not of jetpack' });
      continue;
    }
    if (!(await isOrphan(ports, uuid))) continue;
    findings.push(
      await attempt(`dataset ${name}`, 'it belongs to no pod', dryRun, () =>
        zfs.destroy(name, { recursive: true }),
      ),
    );
  }
  return findings;
}

/** What interrupted changes of mutable pods have left inside of them. */
async function collectChanges(ports: DestroyPorts, dryRun: boolean): Promise<Finding[]> {
  const { zfs, layout } = ports;
  const children = new Map<string, string[]>();
  for (const { name } of await zfs.list(layout.dataset.pods, { depth: 2, types: ['filesystem'] })) {
    const [uuid, child] = name.slice(layout.dataset.pods.length + 1).split('/');
    if (uuid === undefined || child === undefined) continue;
    children.set(uuid, [...(children.get(uuid) ?? []), child]);
  }
  const findings: Finding[] = [];
  for (const pod of await listPods(layout)) {
    const changeable = ['running', 'prepared', 'exited'].includes(pod.state);
    if (!changeable || pod.meta?.hostFiles === undefined) continue;
    try {
      if (!mayHaveLeftovers(pod.dir, children.get(pod.uuid) ?? [])) continue;
      for (const name of await collectLeftovers(ports, pod.uuid, dryRun))
        findings.push({
          what: `dataset ${name}`,
          action: 'removed',
          why: 'left by a change that was interrupted',
        });
    } catch (error) {
      findings.push(failure(`pod ${pod.uuid}`, error));
    }
  }
  return findings;
}

function readFolder(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

async function collectNames(ports: DestroyPorts, dryRun: boolean): Promise<Finding[]> {
  const { layout } = ports;
  const findings: Finding[] = [];
  for (const name of readFolder(layout.dir.podNames)) {
    const link = path.join(layout.dir.podNames, name);
    const uuid =
      lstatSync(link, { throwIfNoEntry: false })?.isSymbolicLink() === true
        ? readlinkSync(link)
        : '';
    if (uuid !== '' && !(await isOrphan(ports, uuid))) continue;
    findings.push(
      await attempt(`name ${decodeURIComponent(name)}`, 'its pod is gone', dryRun, () =>
        dropStaleName(layout, link, uuid),
      ),
    );
  }
  return findings;
}

async function collectFolders(ports: DestroyPorts, dryRun: boolean): Promise<Finding[]> {
  const { layout } = ports;
  const findings: Finding[] = [];
  for (const uuid of readFolder(layout.dir.rootfs(''))) {
    if (!(await isOrphan(ports, uuid))) continue;
    const folder = layout.dir.rootfs(uuid);
    findings.push(
      await attempt(`folder ${folder}`, 'its pod is gone', dryRun, () => removeEmptyFolder(folder)),
    );
  }
  return findings;
}

/** Locks of pods that are gone, whose holder was killed. */
function collectLocks({ layout }: DestroyPorts, dryRun: boolean): Finding[] {
  const findings: Finding[] = [];
  for (const name of readFolder(layout.dir.locks)) {
    const uuid = /^pod-(.*)\.lock$/.exec(name)?.[1];
    if (uuid === undefined || !isPodUuid(uuid) || listPodUuids(layout).includes(uuid)) continue;
    const lock = path.join(layout.dir.locks, name);
    if (!dryRun) rmSync(lock, { recursive: true, force: true });
    findings.push({ what: `lock ${lock}`, action: 'removed', why: 'its pod is gone' });
  }
  return findings;
}

/** Leases of dead processes are removed by the collection of images, for both. */
export async function collectPods(
  ports: DestroyPorts,
  options: CollectOptions,
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const pod of await listPods(ports.layout)) {
    try {
      findings.push(await collectPod(ports, pod, options));
    } catch (error) {
      findings.push(failure(`pod ${pod.uuid}`, error));
    }
  }
  if (options.markOnly) return findings;
  const sweeps = [collectChanges, collectDatasets, collectNames, collectFolders, collectLocks];
  for (const sweep of sweeps) {
    try {
      findings.push(...(await sweep(ports, options.dryRun)));
    } catch (error) {
      findings.push(failure(sweep.name.replace('collect', '').toLowerCase(), error));
    }
  }
  return findings;
}
