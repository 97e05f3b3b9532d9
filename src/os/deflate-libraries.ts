/**
 * The fast compressors that a system may have as shared libraries: libdeflate, and Intel's ISA-L. Structures are Buffers, as
 * in `libc.ts`, and pointers within them are addresses of Buffers that are held until the call returns.
 */
import koffi from 'koffi'

/** Compresses one block. @returns bytes written to the room, which is large enough for anything */
export type EncodeBlock = (data: Buffer, dictionary: Buffer, room: Buffer) => number

export type LibraryName = 'libdeflate' | 'isal'

/** Shared objects by the version of their interface, as Debian's libdeflate0 and libisal2 have them. */
const libraries: Readonly<Record<LibraryName, {file: string; load: (library: Library, level: number) => EncodeBlock}>> =
  {
    libdeflate: {file: 'libdeflate.so.0', load: loadLibdeflate},
    isal: {file: 'libisal.so.2', load: loadIsal},
  }

type Library = ReturnType<typeof koffi.load>

export function hasLibrary(name: LibraryName): boolean {
  return find(name) !== undefined
}

/**
 * An encoder for one thread.
 *
 * libdeflate writes whole gzip members and has no use for dictionaries. ISA-L writes raw deflate that ends at a byte and
 * does not end the stream.
 *
 * @param name of a library that the system has
 */
export function loadLibrary(name: LibraryName, level: number): EncodeBlock {
  return libraries[name].load(find(name)!, level)
}

function find(name: LibraryName): Library | undefined {
  try {
    return koffi.load(libraries[name].file)
  } catch {
    return undefined
  }
}

/** @see https://github.com/ebiggers/libdeflate libdeflate.h */
function loadLibdeflate(library: Library, level: number): EncodeBlock {
  const allocate = library.func('void *libdeflate_alloc_compressor(int)')
  const compress = library.func('size_t libdeflate_gzip_compress(void *, const void *, size_t, void *, size_t)')
  const compressor = allocate(level)
  return (data, _, room) => {
    const size = Number(compress(compressor, data, data.length, room, room.length))
    if (size === 0) throw new Error('libdeflate found no room for its output')
    return size
  }
}

/** Where the public members of `struct isal_zstream` are. @see https://github.com/intel/isa-l include/igzip_lib.h */
const stream = {
  nextIn: 0,
  availableIn: 8,
  nextOut: 16,
  availableOut: 24,
  totalOut: 28,
  level: 40,
  levelBufferSize: 44,
  levelBuffer: 48,
  flush: 58,
} as const
/** The structure has 82,384 bytes, most of them inside. */
const streamRoom = 128 * 1024
/** `ISAL_DEF_LVL3_DEFAULT`, the most that any level wants. */
const levelBufferSize = 348_160
const SYNC_FLUSH = 1

function loadIsal(library: Library, level: number): EncodeBlock {
  const initialise = library.func('void isal_deflate_init(void *)')
  const setDictionary = library.func('int isal_deflate_set_dict(void *, const void *, uint32_t)')
  const deflate = library.func('int isal_deflate(void *)')
  const state = Buffer.alloc(streamRoom)
  const levelBuffer = Buffer.alloc(levelBufferSize)
  return (data, dictionary, room) => {
    initialise(state)
    state.writeUInt32LE(level, stream.level)
    state.writeUInt32LE(levelBuffer.length, stream.levelBufferSize)
    state.writeBigUInt64LE(koffi.address(levelBuffer), stream.levelBuffer)
    if (dictionary.length > 0) setDictionary(state, dictionary, dictionary.length)
    state.writeBigUInt64LE(koffi.address(data), stream.nextIn)
    state.writeUInt32LE(data.length, stream.availableIn)
    state.writeBigUInt64LE(koffi.address(room), stream.nextOut)
    state.writeUInt32LE(room.length, stream.availableOut)
    state.writeUInt16LE(SYNC_FLUSH, stream.flush)
    const result: number = deflate(state)
    if (result !== 0 || state.readUInt32LE(stream.availableOut) === 0) throw new Error(`ISA-L failed with ${result}`)
    return state.readUInt32LE(stream.totalOut)
  }
}
