import test from 'ava'
import {checkName, type Destination, parseDestination} from '../src/destination.ts'

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
  '': /does not say the format/,
  new: /does not say the format/,
  '-': /does not say the format/,
  'new.tar.gz': /does not say the format/,
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
