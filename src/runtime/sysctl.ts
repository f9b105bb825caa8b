/** os/unix/sysctl: which kernel parameters a pod may set. The shim looks again (shim/plan-values.c). */
import type { Asked } from './asked.ts';
import type { PodToConfine } from './runtime.ts';

const NAME = 'os/unix/sysctl';

/** Each ipc namespace has its own (ipc_namespaces(7)). */
const OF_IPC: ReadonlySet<string> = new Set([
  'kernel.auto_msgmni',
  'kernel.msg_next_id',
  'kernel.msgmax',
  'kernel.msgmnb',
  'kernel.msgmni',
  'kernel.sem',
  'kernel.sem_next_id',
  'kernel.shm_next_id',
  'kernel.shm_rmid_forced',
  'kernel.shmall',
  'kernel.shmmax',
  'kernel.shmmni',
]);

const KEY = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+$/;
const MAX_KEY = 255;
/** A write to /proc/sys takes a page. */
const MAX_VALUE_BYTES = 4095;

/** Key and value, to be written by the pod's init. Throws for keys of the host. */
export function sysctlsOf(
  asked: Asked,
  { network }: Pick<PodToConfine, 'network'>,
): readonly (readonly [string, string])[] {
  const entries = Object.entries(asked.value(NAME) ?? {});
  for (const [key, value] of entries) {
    const field = `[${JSON.stringify(key)}]`;
    if (!KEY.test(key) || key.length > MAX_KEY)
      asked.impossible(NAME, field, 'is not the name of a kernel parameter');
    if (value === '' || Buffer.byteLength(value) > MAX_VALUE_BYTES)
      asked.impossible(NAME, field, 'has no value that a kernel parameter can have');
    if (key === 'kernel.hostname' || key === 'kernel.domainname')
      asked.refuse(`${NAME} ${key}`, 'the pod has a host name of its own', ['--hostname=NAME']);
    if (OF_IPC.has(key) || key.startsWith('fs.mqueue.')) continue;
    if (!key.startsWith('net.')) {
      asked.refuse(
        `${NAME} ${key}`,
        'it is the same for the whole host: a pod may set kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.* and net.*',
      );
    }
    if (network.kind !== 'none')
      asked.refuse(`${NAME} ${key}`, 'the network of the pod is not its own', ['--net=none']);
  }
  return entries;
}
