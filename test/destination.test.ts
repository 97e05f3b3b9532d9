import test from 'ava'
import {checkFile, checkName, compressionByName, type Destination, parseDestination} from '../src/destination.ts'
import type {ImgtoolError} from '../src/errors.ts'

const readable: Readonly<Record<string, Destination>> = {
  'oci:layout': {format: 'oci', path: 'layout'},
  'oci:layout:1.0': {format: 'oci', path: 'layout', name: '1.0'},
  'oci:/a/b:host:5000/app:1.0': {format: 'oci', path: '/a/b', name: 'host:5000/app:1.0'},
  'oci-archive:new.tar': {format: 'oci-archive', path: 'new.tar'},
  'oci-archive:-': {format: 'oci-archive', path: '-'},
  'docker-archive:-:app': {format: 'docker-archive', path: '-', name: 'app'},
  'docker-archive://tmp/new.tar': {format: 'docker-archive', path: 'tmp/new.tar'},
  'docker-archive:///tmp/new.tar': {format: 'docker-archive', path: '/tmp/new.tar'},
  'docker-1.10:new': {format: 'docker-1.10', path: 'new'},
  'docker-v1:new': {format: 'docker-v1', path: 'new'},
  'new.tar': {format: 'docker-archive', path: 'new.tar'},
  'new.oci.tar': {format: 'oci-archive', path: 'new.oci.tar'},
  'new.oci': {format: 'oci-archive', path: 'new.oci'},
  'layout/': {format: 'oci', path: 'layout/'},
}

for (const [text, destination] of Object.entries(readable)) {
  test(`the destination ${text}`, (t) => {
    t.deepEqual(parseDestination(text), destination)
  })
}

const refused: Readonly<Record<string, RegExp>> = {
  '': /it is empty/,
  new: /does not say the format/,
  '-': /does not say the format/,
  'new.tar.gz': /not compressed as a whole/,
  'oci-archive:new.tar.zst': /not compressed as a whole/,
  'docker-archive:new.tar.xz': /not compressed as a whole/,
  'dir:new': /dir: form is not written/,
  'oci:': /no path/,
  'oci-archive::1': /no path/,
  'oci-archive:a\0b': /no path/,
  'oci:-': /a directory cannot go to standard output/,
  'oci:layout:': /as a name of an image/,
  'oci:layout:a b': /as a name of an image/,
  'docker-daemon:app:1.0': /no daemon and no registry/,
  'docker://host/app:1.0': /no daemon and no registry/,
}

for (const [text, message] of Object.entries(refused)) {
  test(`the destination ${JSON.stringify(text)} is refused`, (t) => {
    t.throws(() => parseDestination(text), {code: 'REFERENCE_INVALID', message})
  })
}

for (const name of ['', '-a', 'a:', ':a', '/a', 'a/', 'a//b', '@0', 'a\n', 'ü']) {
  test(`the name ${JSON.stringify(name)} is refused`, (t) => {
    t.throws(() => checkName(name), {code: 'REFERENCE_INVALID'})
  })
}

for (const text of ['', 'a\0b', 'oci:layout', 'docker-archive:new.tar', 'dir:new', 'docker://app']) {
  test(`${JSON.stringify(text)} is refused as the path of a file`, (t) => {
    t.throws(() => checkFile(text), {code: 'REFERENCE_INVALID', message: /expected FILE or -$/})
  })
}

test('a path that says that it is one is the path of a file', (t) => {
  for (const text of ['./oci:layout', '/docker-archive:x', 'a:b', '-', 'oci']) t.notThrows(() => checkFile(text))
})

test('a tar is compressed as its name says', (t) => {
  for (const name of ['a.tar', '-', 'a', 'gz', 'a.gz.tar']) t.is(compressionByName(name), 'none', name)
  for (const name of ['a.tar.gz', 'a.tgz', 'x/a.taz', 'a.gz']) t.is(compressionByName(name), 'gzip', name)
  for (const name of ['a.tar.zst', 'a.tzst']) t.is(compressionByName(name), 'zstd', name)
  for (const name of ['a.tar.xz', 'a.tbz2', 'a.tar.lz', 'a.tlz']) {
    const error = t.throws<ImgtoolError>(() => compressionByName(name), {code: 'REFERENCE_INVALID'})
    t.regex(error.details.hint ?? '', /^Pipe it: imgtool export \.\.\. - \| \w+ > \S+$/)
  }
})
