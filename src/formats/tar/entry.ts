/** What a tar archive says about one of its members, free of the dialect that said it. */

export type TarEntryType =
  'file' | 'directory' | 'symlink' | 'link' | 'fifo' | 'character-device' | 'block-device';

export interface TarXattr {
  /** Byte text, like the value. */
  readonly name: string;
  readonly value: string;
}

export interface TarEntry {
  /** As the archive spells it, byte text. */
  readonly name: string;
  readonly type: TarEntryType;
  /** The target of a symlink or hard link, byte text; else empty. */
  readonly linkName: string;
  /** Permissions with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Of a file, its holes included; else 0. */
  readonly sizeBytes: number;
  readonly mtimeS: number;
  /** 0 to 999 999 999, counted up from mtimeS. */
  readonly mtimeNs: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly xattrs: readonly TarXattr[];
  /** Facts that the archive tells and that cannot be kept, by name: `SCHILY.acl.access`. */
  readonly unsupported: readonly string[];
}

/**
 * Who takes the entries. Calls come in order: entry, data any number of times, endEntry. A throw ends the reading.
 * `data` gives a piece and its place in the file; what lies between the pieces is a hole. The bytes are the sink's only during the call.
 */
export interface TarSink {
  entry(entry: TarEntry): void;
  data(bytes: Buffer, offset: number): void;
  endEntry(): void;
}
