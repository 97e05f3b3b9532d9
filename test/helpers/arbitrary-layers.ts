/** Layers of few names, so that their entries meet: each replaces, hides, links to or goes through what others made. */
import fc from 'fast-check'
import {directory, file, hardlink, member, symlink} from './tar.ts'

/** One entry of a layer. */
export interface Step {
  readonly title: string
  /** The entry with this time, which tells afterwards which step made a file. */
  readonly entry: (mtime: number) => Buffer
}

/** Without privileges files of others lose bits of their modes. */
const owner = {uid: process.getuid!(), gid: process.getgid!()}

const name = fc.constantFrom('a', 'b', 'c')
const path = fc.array(name, {minLength: 1, maxLength: 3}).map((names) => names.join('/'))
const target = fc.oneof(
  path,
  fc.constantFrom('/', '.', '..', '../b', '/a', '/b/c', '../../a/b', 'a/..', './c/', 'b/../c'),
)
const pseudoLink = name.map((last) => `.wh..wh.plnk/${last}`)
const mark = (parent: string, last: string) => (parent === '' ? last : `${parent}/${last}`)
const whiteout = (of: string) => of.replace(/[^/]*$/, '.wh.$&')

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(path, fc.nat(3), fc.constantFrom(0o644, 0o600, 0o4755)).map(
      ([at, size, mode]): Step => ({
        title: `file ${at} of ${size} bytes, ${mode.toString(8)}`,
        entry: (mtime) => file(at, 'x'.repeat(size), {mode, mtime, ...owner}),
      }),
    ),
  },
  {
    weight: 4,
    arbitrary: fc.tuple(fc.oneof(path, fc.constant('.')), fc.constantFrom(0o750, 0o700, 0o1777)).map(
      ([at, mode]): Step => ({
        title: `directory ${at}, ${mode.toString(8)}`,
        entry: (mtime) => directory(at, {mode, mtime}),
      }),
    ),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(path, target).map(
      ([at, to]): Step => ({
        title: `symlink ${at} to ${to}`,
        entry: (mtime) => symlink(at, to, {mtime}),
      }),
    ),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(path, fc.oneof({weight: 6, arbitrary: path}, pseudoLink)).map(
      ([at, to]): Step => ({
        title: `hard link ${at} to ${to}`,
        entry: (mtime) => hardlink(at, to, {mtime}),
      }),
    ),
  },
  {
    weight: 1,
    arbitrary: path.map(
      (at): Step => ({
        title: `fifo ${at}`,
        entry: (mtime) => member({name: at, type: '6', mtime}),
      }),
    ),
  },
  {
    weight: 5,
    arbitrary: path.map(
      (at): Step => ({
        title: `whiteout of ${at}`,
        entry: () => file(whiteout(at)),
      }),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.oneof(path, fc.constant('')).map(
      (at): Step => ({
        title: `opaque ${at}`,
        entry: () => file(mark(at, '.wh..wh..opq')),
      }),
    ),
  },
  {
    weight: 1,
    arbitrary: pseudoLink.map(
      (at): Step => ({
        title: `pseudo link ${at}`,
        entry: (mtime) => file(at, 'pseudo', {mtime}),
      }),
    ),
  },
)

/** Base first. */
export const layers: fc.Arbitrary<Step[][]> = fc.array(fc.array(step, {minLength: 1, maxLength: 8}), {
  minLength: 1,
  maxLength: 4,
})
