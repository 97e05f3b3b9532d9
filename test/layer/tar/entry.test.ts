import test from 'ava'
import fc from 'fast-check'
import {ImgtoolError} from '../../../src/errors.ts'
import {cleanPath} from '../../../src/layer/tar/entry.ts'
import {defaultLimits} from '../../../src/limits.ts'
import {readEntry} from '../../helpers/entries.ts'
import {
  base256,
  directory,
  type Fields,
  file,
  gnuLong,
  hardlink,
  member,
  otherMember,
  pax,
  symlink,
  tar,
} from '../../helpers/tar.ts'

const clean = (name: string) => cleanPath(name, defaultLimits)
const withPax = (records: readonly (readonly [string, string])[], of = file('header-name')) =>
  readEntry(tar(pax(records), of))

for (const [name, path] of [
  ['a/b', 'a/b'],
  ['./a', 'a'],
  ['/a', 'a'],
  ['////a//b//', 'a/b'],
  ['a/./b/.', 'a/b'],
  ['.', ''],
  ['./', ''],
  ['/', ''],
  ['..a/b..', '..a/b..'],
  ['.../....', '.../....'],
  ['a\\..\\b', 'a\\..\\b'],
  ['__proto__', '__proto__'],
  ['\xff\n\x1b[2J', '\xff\n\x1b[2J'],
] as const) {
  test(`the name ${JSON.stringify(name)} is the path ${JSON.stringify(path)}`, (t) => t.is(clean(name), path))
}

for (const name of ['..', '../a', 'a/..', 'a/../b', '/../a', './../a', 'a/b/../../../c', '//..//a']) {
  test(`the name ${JSON.stringify(name)} is refused wherever it stands`, (t) => {
    t.throws(() => clean(name), {code: 'PATH_ESCAPES'})
    const tars = {
      header: tar(file(name)),
      gnu: tar(gnuLong('L', name), file('x')),
      pax: tar(pax([['path', name]]), file('x')),
      sparse: tar(pax([['GNU.sparse.name', name]]), file('x')),
      hardlink: tar(hardlink('x', name)),
      'hardlink in GNU': tar(gnuLong('K', name), hardlink('x', 'y')),
      'hardlink in PAX': tar(pax([['linkpath', name]]), hardlink('x', 'y')),
    }
    for (const [where, bytes] of Object.entries(tars)) t.throws(() => readEntry(bytes), {code: 'PATH_ESCAPES'}, where)
  })
}

test('".." in the prefix of a header is refused', (t) => {
  t.throws(() => readEntry(tar(file('a', '', {prefix: '..'}))), {code: 'PATH_ESCAPES'})
})

test('an empty name is refused', (t) => {
  for (const bytes of [tar(file('')), tar(gnuLong('L', ''), file('x')), tar(hardlink('x', ''))])
    t.throws(() => readEntry(bytes), {code: 'ENTRY_INVALID'})
})

test('a NUL in a PAX name is refused, and ends a GNU name', (t) => {
  t.throws(() => withPax([['path', 'a\0b']]), {code: 'ENTRY_INVALID'})
  t.throws(() => withPax([['linkpath', 'a\0b']], hardlink('x', 'y')), {code: 'ENTRY_INVALID'})
  t.throws(() => withPax([['linkpath', 'a\0b']], symlink('x', 'y')), {code: 'LINK_INVALID'})
  t.is(readEntry(tar(gnuLong('L', 'a\0b'), file('x'))).path, 'a')
})

test('a path has no component that is empty, "." or "..", whatever the name', (t) => {
  const part = fc.constantFrom('', '.', '..', '...', 'a', '.b', 'c..', '\xff', ' ')
  fc.assert(
    fc.property(fc.array(part, {minLength: 1, maxLength: 8}), (parts) => {
      const name = parts.join('/')
      if (parts.includes('..')) t.throws(() => clean(name), {code: 'PATH_ESCAPES'})
      else if (name !== '') t.is(clean(name), parts.filter((one) => one !== '' && one !== '.').join('/'))
    }),
  )
})

test('a path may have as many levels as the limit says', (t) => {
  const name = (levels: number) => Array.from({length: levels}, () => 'd').join('/')
  t.is(readEntry(tar(gnuLong('L', name(4096)), file('x'))).path, name(4096))
  t.throws(() => readEntry(tar(gnuLong('L', name(4097)), file('x'))), {code: 'LIMIT_EXCEEDED'})
  t.throws(() => readEntry(tar(file('a/b/c')), {depth: 2}), {code: 'LIMIT_EXCEEDED'})
})

test('PAX wins over GNU headers, and these over the header', (t) => {
  t.is(readEntry(tar(file('h'))).path, 'h')
  t.is(readEntry(tar(gnuLong('L', 'gnu'), file('h'))).path, 'gnu')
  t.is(withPax([['path', 'pax']]).path, 'pax')
  const link = tar(pax([['linkpath', '../pax']]), symlink('s', 'header'))
  t.is(readEntry(link).link, '../pax')
})

test('the last of two equal PAX keys wins, and an empty value takes both back', (t) => {
  t.is(
    withPax([
      ['path', 'a'],
      ['path', 'b'],
    ]).path,
    'b',
  )
  t.is(
    withPax([
      ['path', 'a'],
      ['path', ''],
    ]).path,
    'header-name',
  )
  t.is(withPax([['uid', '']], file('x', '', {uid: 7})).uid, 7)
})

test('names that look like numbers or like members of objects stay names', (t) => {
  for (const name of ['5', '1e3', '__proto__', 'constructor', 'hasOwnProperty']) {
    t.is(withPax([['path', name]]).path, name)
    t.deepEqual([...withPax([[`SCHILY.xattr.${name}`, 'value']]).xattrs], [[name, 'value']])
  }
  t.is(withPax([['__proto__', 'path']]).path, 'header-name')
})

for (const [type, kind, fields] of [
  ['0', 'file', {}],
  ['\0', 'file', {}],
  ['7', 'file', {}],
  ['1', 'hardlink', {link: 'x'}],
  ['2', 'symlink', {link: 'x'}],
  ['3', 'character', {}],
  ['4', 'block', {}],
  ['5', 'directory', {}],
  ['6', 'fifo', {}],
] as const) {
  test(`the type ${JSON.stringify(type)} is a ${kind}`, (t) => {
    t.is(readEntry(tar(member({name: 'a', type, ...fields}))).kind, kind)
  })
}

for (const type of ['8', '9', 'A', 'D', 'M', 'N', 'X', 'Z', 's', ' ', '\xff', '/']) {
  test(`the unknown type ${JSON.stringify(type)} is refused`, (t) => {
    t.throws(() => readEntry(tar(member({name: 'a', type}))), {code: 'TAR_INVALID'})
  })
}

test('a file whose name ends in a slash is a directory, as before POSIX', (t) => {
  t.is(readEntry(tar(member({name: 'a/', type: '\0'}))).kind, 'directory')
  t.is(readEntry(tar(pax([['path', 'a/']]), file('a'))).kind, 'directory')
  t.is(readEntry(tar(member({name: 'a/', type: '7'}))).kind, 'file')
})

for (const type of ['1', '2', '3', '4', '5', '6']) {
  test(`content of the type ${type}, in which a reader could see entries, is refused`, (t) => {
    const smuggled = file('smuggled')
    t.throws(() => readEntry(tar(member({name: 'a', link: 'b', type}, smuggled))), {code: 'TAR_INVALID'})
    const sizedByPax = tar(pax([['size', '512']]), member({name: 'a', link: 'b', type}), smuggled)
    t.throws(() => readEntry(sizedByPax), {code: 'TAR_INVALID'})
    const hiddenByPax = tar(pax([['size', '0']]), member({name: 'a', link: 'b', type, size: 512}))
    t.is(readEntry(hiddenByPax).size, 0)
  })
}

for (const key of ['GNU.sparse.size', 'GNU.sparse.realsize'] as const) {
  test(`a directory or a link with ${key} is refused`, (t) => {
    const version = key === 'GNU.sparse.size' ? [] : ([['GNU.sparse.major', '1']] as const)
    for (const other of [directory('d'), symlink('s', 't'), hardlink('h', 't')])
      t.throws(() => withPax([...version, [key, '5']], other), {code: 'TAR_INVALID'})
  })
}

test('modes are cut to permissions and special bits', (t) => {
  t.is(readEntry(tar(file('a', '', {mode: 0o107755}))).mode, 0o7755)
  t.is(readEntry(tar(file('a', '', {mode: base256(-1n, 8)}))).mode, 0o7777)
})

for (const key of ['uid', 'gid'] as const) {
  test(`a ${key} is at most 2^32-2`, (t) => {
    t.is(readEntry(tar(file('a', '', {[key]: 2 ** 32 - 2})))[key], 2 ** 32 - 2)
    t.is(withPax([[key, '4294967294']])[key], 2 ** 32 - 2)
    for (const value of [2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, -1])
      t.throws(() => readEntry(tar(file('a', '', {[key]: value}))), {code: 'ENTRY_INVALID'})
    for (const value of ['4294967295', '4294967296']) t.throws(() => withPax([[key, value]]), {code: 'ENTRY_INVALID'})
    for (const value of ['-1', '0x5', 'root', '1.0']) t.throws(() => withPax([[key, value]]), {code: 'TAR_INVALID'})
  })

  test(`a PAX ${key} saves a header that is out of range`, (t) => {
    t.is(withPax([[key, '5']], file('a', '', {[key]: 2 ** 32}))[key], 5)
  })
}

test('names of owners are ignored', (t) => {
  const {uid, gid} = withPax(
    [
      ['uname', 'root'],
      ['gname', 'wheel'],
    ],
    file('a', '', {uid: 5, gid: 6}),
  )
  t.deepEqual([uid, gid], [5, 6])
})

test('times come from the header in seconds and from PAX to the nanosecond', (t) => {
  t.deepEqual(readEntry(tar(file('a', '', {mtime: -5}))).mtime, {seconds: -5, nanoseconds: 0})
  t.deepEqual(withPax([['mtime', '-1.25']]).mtime, {seconds: -2, nanoseconds: 750_000_000})
  t.throws(() => withPax([['mtime', 'nan']]), {code: 'TAR_INVALID'})
})

test('the size in PAX wins over the one in the header', (t) => {
  t.is(readEntry(tar(pax([['size', '3']]), file('a', 'abc', {size: 0}))).size, 3)
  for (const size of ['-1', '1e3', '0x10', '3.0', '99999999999999999999'])
    t.throws(() => withPax([['size', size]]), {code: 'TAR_INVALID'})
})

test('a negative size is refused', (t) => {
  for (const size of [-1, -512, -1024, Number.MIN_SAFE_INTEGER])
    t.throws(() => readEntry(tar(file('a', '', {size}))), {code: 'TAR_INVALID'})
})

test('a symlink keeps its target as it is, and must have one', (t) => {
  for (const target of ['..', '/../..//a/', '.', '\xff\n', 't'.repeat(100)])
    t.is(readEntry(tar(symlink('s', target))).link, target)
  t.throws(() => readEntry(tar(symlink('s', ''))), {code: 'LINK_INVALID'})
})

test('a hard link has the path of its target, and only links have any', (t) => {
  t.is(readEntry(tar(hardlink('h', './/a/b/'))).link, 'a/b')
  t.is(readEntry(tar(hardlink('h', '/a'))).link, 'a')
  t.is(readEntry(tar(file('f', '', {link: '../x'}))).link, '')
})

for (const type of ['3', '4'] as const) {
  test(`device numbers of the type ${type} are in the range of Linux`, (t) => {
    const node = (fields: Fields) => readEntry(tar(member({name: 'n', type, ...fields})))
    const {deviceMajor, deviceMinor} = node({deviceMajor: 0xfff, deviceMinor: 0xf_ffff})
    t.deepEqual([deviceMajor, deviceMinor], [0xfff, 0xf_ffff])
    for (const fields of [{deviceMajor: 0x1000}, {deviceMinor: 0x10_0000}, {deviceMajor: -1}, {deviceMinor: -1}])
      t.throws(() => node(fields), {code: 'ENTRY_INVALID'})
  })
}

test('only devices have device numbers', (t) => {
  const {deviceMajor, deviceMinor} = readEntry(tar(file('a', '', {deviceMajor: 5, deviceMinor: -1})))
  t.deepEqual([deviceMajor, deviceMinor], [0, 0])
})

test('xattrs keep any bytes; an empty one is a record taken back', (t) => {
  const {xattrs} = withPax([
    ['SCHILY.xattr.user.empty', ''],
    ['SCHILY.xattr.security.capability', '\x01\0\0\x02\n=\xff'],
    ['LIBARCHIVE.xattr.user.other', 'AA=='],
  ])
  t.deepEqual([...xattrs], [['security.capability', '\x01\0\0\x02\n=\xff']])
})

test('an xattr that no file can have is refused with its entry', (t) => {
  const key = (length: number) => `SCHILY.xattr.user.${'n'.repeat(length - 5)}`
  const value = 'v'.repeat(65_536)
  t.is(withPax([[key(255), value]]).xattrs.size, 1)
  const refusal = {instanceOf: ImgtoolError, code: 'ENTRY_INVALID'}
  t.is(t.throws(() => withPax([[key(256), 'v']]), refusal).details.entry, 'header-name')
  t.is(t.throws(() => withPax([[key(255), `${value}v`]]), refusal).details.entry, 'header-name')
})

test('an xattr without a name, or with a NUL in it, is refused', (t) => {
  for (const key of ['SCHILY.xattr.', 'SCHILY.xattr.user.a\0b'])
    t.throws(() => withPax([[key, 'x']]), {code: 'ENTRY_INVALID'})
})

test('entries of another implementation are read as it was told', (t) => {
  const told = fc.record({
    path: fc.stringMatching(/^[a-zé日]{1,90}(\/[a-zé日]{1,90}){0,5}$/),
    mode: fc.integer({min: 0, max: 0o7777}),
    uid: fc.integer({min: 0, max: 2 ** 32 - 2}),
    gid: fc.integer({min: 0, max: 2 ** 32 - 2}),
    seconds: fc.integer({min: 0, max: 2 ** 35}),
    linkpath: fc.stringMatching(/^[a-zé日/]{1,200}$/),
    type: fc.constantFrom('File' as const, 'SymbolicLink' as const, 'Directory' as const),
  })
  fc.assert(
    fc.property(told, ({seconds, linkpath, ...rest}) => {
      const link = rest.type === 'SymbolicLink' ? linkpath : ''
      const bytes = otherMember({...rest, mtime: new Date(seconds * 1000), ...(link === '' ? {} : {linkpath})})
      const entry = readEntry(tar(bytes))
      const latin1 = (text: string) => Buffer.from(text).toString('latin1')
      t.like(entry, {path: latin1(rest.path), mode: rest.mode, uid: rest.uid, gid: rest.gid, link: latin1(link)})
      t.deepEqual(entry.mtime, {seconds, nanoseconds: 0})
    }),
  )
})
