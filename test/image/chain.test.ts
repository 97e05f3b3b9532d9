import test from 'ava'
import {sha256} from '../../src/digest.ts'
import {chainIDs} from '../../src/image/chain.ts'

test('chains the diffIDs of a stack', (t) => {
  const [a, b, c] = [sha256('a'), sha256('b'), sha256('c')]
  t.deepEqual(chainIDs([]), [])
  t.deepEqual(chainIDs([a]), [a])
  const second = sha256(`${a} ${b}`)
  t.deepEqual(chainIDs([a, b, c]), [a, second, sha256(`${second} ${c}`)])
})
