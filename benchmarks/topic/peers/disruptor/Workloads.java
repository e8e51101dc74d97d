// The bench's workloads of topics on the LMAX Disruptor, in a process of its own. It reads a request a line, and answers
// each with a line that begins with "ok" or says what is wrong:
//
//   run PLAN READERS MESSAGES     ok NANOSECONDS        of all messages
//   publish one|many MESSAGES     ok NANOSECONDS        likewise, while nobody reads
//   wake TIMES                    ok PUBLISH HANDLER    medians, nanoseconds
//
// Arguments: the bytes of a message, 8 or 64, and how who waits does it: `yielding` and `blocking` are the Disruptor's
// strategies, with its next() for the producers; `bench` is the bench's rule, with tryNext(). There is a process for each
// of these pairs, so that the compiler sees one kind of each and may inline it, as in the Disruptor's own tests.
import com.lmax.disruptor.BatchEventProcessor;
import com.lmax.disruptor.BlockingWaitStrategy;
import com.lmax.disruptor.EventFactory;
import com.lmax.disruptor.EventHandler;
import com.lmax.disruptor.InsufficientCapacityException;
import com.lmax.disruptor.RingBuffer;
import com.lmax.disruptor.Sequence;
import com.lmax.disruptor.SequenceBarrier;
import com.lmax.disruptor.WaitStrategy;
import com.lmax.disruptor.YieldingWaitStrategy;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;

public final class Workloads {
  // Which of the two is loaded, one only, is settled when the program starts.
  abstract static class Message {
    abstract void set(long n);

    abstract long number();
  }

  static final class Word extends Message {
    private long value;

    @Override
    void set(long n) {
      value = n;
    }

    @Override
    long number() {
      return value;
    }
  }

  static final class Block extends Message {
    private long a, b, c, d, e, f, g, h;

    @Override
    void set(long n) {
      a = n;
      b = 0;
      c = 0;
      d = 0;
      e = 0;
      f = 0;
      g = 0;
      h = ~n;
    }

    @Override
    long number() {
      return a + 3 * (a + h + 1);
    }
  }

  enum Task { ADD, SUBTRACT, CONJOIN, ADD_THREE, ADD_FOURS, ADD_THREES, ADD_FIVES, ADD_FIFTEENS }

  static final long FIRST_VALUE = -1;

  static long number(long i) {
    return (1L << 48) | i;
  }

  static long applied(Task what, long value, long n) {
    switch (what) {
      case ADD: return value + n;
      case SUBTRACT: return value - n;
      case CONJOIN: return value & n;
      case ADD_THREE: return value + n + 3;
      case ADD_FOURS: return ((n + 3) & 4) != 0 ? value + n : value;
      case ADD_THREES: return n % 3 == 0 ? value + n : value;
      case ADD_FIVES: return n % 5 == 0 ? value + n : value;
      default: return n % 3 == 0 && n % 5 == 0 ? value + n : value;
    }
  }

  // Fields of a base class stand before those of the class, so that what is written lies between the two paddings.
  static class PaddingBefore {
    long p0, p1, p2, p3, p4, p5, p6, p7, p8, p9, p10, p11, p12, p13, p14;
  }

  static class State extends PaddingBefore {
    long value;
    long left;
    long end;
  }

  static final class Reader extends State implements EventHandler<Message> {
    long q0, q1, q2, q3, q4, q5, q6, q7, q8, q9, q10, q11, q12, q13, q14;
    final Task task;
    private CountDownLatch done;

    Reader(Task task) {
      this.task = task;
    }

    void expect(long messages, CountDownLatch latch) {
      value = FIRST_VALUE;
      left = messages;
      done = latch;
    }

    @Override
    public void onEvent(Message message, long sequence, boolean endOfBatch) {
      value = applied(task, value, message.number());
      if (--left == 0) {
        end = System.nanoTime();
        done.countDown();
      }
    }

    void verify(long messages) {
      long right = FIRST_VALUE;
      for (long i = 1; i <= messages; i++) right = applied(task, right, number(i));
      if (value != right) throw new IllegalStateException("what a reader has read is not what was published");
    }
  }

  /** 64 pauses, then yields. */
  static final class PauseThenYield implements WaitStrategy {
    @Override
    public long waitFor(long sequence, Sequence cursor, Sequence dependent, SequenceBarrier barrier)
        throws com.lmax.disruptor.AlertException {
      int pauses = 64;
      long available;
      while ((available = dependent.get()) < sequence) {
        barrier.checkAlert();
        pauses = pauseOrYield(pauses);
      }
      return available;
    }

    @Override
    public void signalAllWhenBlocking() {}
  }

  static int pauseOrYield(int pauses) {
    if (pauses == 0) {
      Thread.yield();
      return 0;
    }
    Thread.onSpinWait();
    return pauses - 1;
  }

  static EventFactory<Message> factory;
  static String waits;

  static WaitStrategy strategy() {
    switch (waits) {
      case "yielding": return new YieldingWaitStrategy();
      case "bench": return new PauseThenYield();
      case "blocking": return new BlockingWaitStrategy();
      default: throw new IllegalArgumentException("yielding, bench or blocking, not " + waits);
    }
  }

  static RingBuffer<Message> ring(boolean many, int places) {
    return many
        ? RingBuffer.createMultiProducer(factory, places, strategy())
        : RingBuffer.createSingleProducer(factory, places, strategy());
  }

  static void publish(RingBuffer<Message> ring, long from, long to) {
    if (waits.equals("bench")) {
      for (long i = from; i <= to; i++) {
        final long sequence = claim(ring);
        ring.get(sequence).set(number(i));
        ring.publish(sequence);
      }
    } else {
      for (long i = from; i <= to; i++) {
        final long sequence = ring.next();
        ring.get(sequence).set(number(i));
        ring.publish(sequence);
      }
    }
  }

  static long claim(RingBuffer<Message> ring) {
    int pauses = 64;
    while (true) {
      try {
        return ring.tryNext();
      } catch (InsufficientCapacityException full) {
        pauses = pauseOrYield(pauses);
      }
    }
  }

  static final class Plan {
    final int producers;
    final RingBuffer<Message> ring;
    final List<Reader> readers = new ArrayList<>();
    final List<BatchEventProcessor<Message>> processors = new ArrayList<>();
    private final List<Sequence> last = new ArrayList<>();

    Plan(int producers, boolean many, int places) {
      this.producers = producers;
      ring = ring(many, places);
    }

    Plan reader(Task task, int... behind) {
      final Sequence[] gates = new Sequence[behind.length];
      for (int i = 0; i < behind.length; i++) gates[i] = processors.get(behind[i]).getSequence();
      final Reader reader = new Reader(task);
      readers.add(reader);
      processors.add(new BatchEventProcessor<>(ring, ring.newBarrier(gates), reader));
      last.add(processors.get(processors.size() - 1).getSequence());
      last.removeAll(Arrays.asList(gates));
      return this;
    }

    /** The producers wait for those that nobody is behind. */
    Plan ready() {
      for (Sequence s : last) ring.addGatingSequences(s);
      return this;
    }

    /** Nanoseconds for all messages. */
    long run(long messages) throws InterruptedException {
      final CountDownLatch done = new CountDownLatch(readers.size());
      for (Reader r : readers) r.expect(messages, done);
      final List<Thread> consuming = new ArrayList<>();
      for (BatchEventProcessor<Message> p : processors) {
        final Thread thread = new Thread(p);
        thread.start();
        consuming.add(thread);
      }
      for (BatchEventProcessor<Message> p : processors) while (!p.isRunning()) Thread.yield();
      final CountDownLatch start = new CountDownLatch(producers);
      final long[] begins = new long[producers];
      final long[] ends = new long[producers];
      final Thread[] producing = new Thread[producers];
      for (int k = 0; k < producers; k++) {
        final int me = k;
        final long share = messages / producers;
        producing[k] = new Thread(() -> {
          start.countDown();
          try {
            start.await();
          } catch (InterruptedException e) {
            throw new IllegalStateException(e);
          }
          begins[me] = System.nanoTime();
          publish(ring, me * share + 1, (me + 1) * share);
          ends[me] = System.nanoTime();
        });
        producing[k].start();
      }
      for (Thread t : producing) t.join();
      done.await();
      for (BatchEventProcessor<Message> p : processors) p.halt();
      for (Thread t : consuming) t.join();
      long begin = begins[0];
      long end = ends[0];
      for (int k = 1; k < producers; k++) {
        begin = Math.min(begin, begins[k]);
        end = Math.max(end, ends[k]);
      }
      for (Reader r : readers) {
        end = Math.max(end, r.end);
        r.verify(messages);
      }
      return end - begin;
    }
  }

  static final int LARGE = 65536;
  static final int SMALL = 8192;

  static Plan plan(String name, int readers) {
    switch (name) {
      case "unicast": return new Plan(1, false, LARGE).reader(Task.ADD).ready();
      case "multi": return new Plan(1, true, LARGE).reader(Task.ADD).ready();
      case "sequencer": return new Plan(3, true, LARGE).reader(Task.ADD).ready();
      case "pipeline":
        return new Plan(1, false, SMALL)
            .reader(Task.ADD)
            .reader(Task.ADD_THREE, 0)
            .reader(Task.ADD_FOURS, 1)
            .ready();
      case "multicast":
        return new Plan(1, false, SMALL)
            .reader(Task.ADD)
            .reader(Task.SUBTRACT)
            .reader(Task.CONJOIN)
            .ready();
      case "diamond":
        return new Plan(1, false, SMALL)
            .reader(Task.ADD_THREES)
            .reader(Task.ADD_FIVES)
            .reader(Task.ADD_FIFTEENS, 0, 1)
            .ready();
      case "crowd":
        final Plan p = new Plan(1, false, SMALL);
        for (int i = 0; i < readers; i++) p.reader(Task.ADD);
        return p.ready();
      case "one": return new Plan(1, false, SMALL);
      case "many": return new Plan(1, true, SMALL);
      default: throw new IllegalArgumentException("no plan " + name);
    }
  }

  static final int WARM_UPS = 8;
  static final Map<String, Plan> plans = new HashMap<>();

  static long run(String name, int readers, long messages) throws InterruptedException {
    final String key = name + ' ' + readers;
    Plan p = plans.get(key);
    if (p == null) {
      p = plan(name, readers);
      for (int i = 0; i < WARM_UPS; i++) p.run(messages);
      plans.put(key, p);
    }
    p.run((messages / 8 + p.producers) / p.producers * p.producers);
    return p.run(messages);
  }

  static String wake(int times) throws InterruptedException {
    final RingBuffer<Message> ring = ring(false, SMALL);
    final long[] publish = new long[times];
    final long[] handler = new long[times];
    final CountDownLatch done = new CountDownLatch(1);
    final EventHandler<Message> stamps = new EventHandler<Message>() {
      private int i = 0;

      @Override
      public void onEvent(Message message, long sequence, boolean endOfBatch) {
        handler[i++] = System.nanoTime() - message.number();
        if (i == times) done.countDown();
      }
    };
    final BatchEventProcessor<Message> processor = new BatchEventProcessor<>(ring, ring.newBarrier(), stamps);
    ring.addGatingSequences(processor.getSequence());
    final Thread thread = new Thread(processor);
    thread.start();
    for (int i = 0; i < times; i++) {
      Thread.sleep(1);
      final long begin = System.nanoTime();
      final long sequence = ring.next();
      ring.get(sequence).set(begin);
      ring.publish(sequence);
      publish[i] = System.nanoTime() - begin;
    }
    done.await();
    processor.halt();
    thread.join();
    return median(publish) + " " + median(handler);
  }

  static long median(long[] values) {
    Arrays.sort(values);
    return values[values.length / 2];
  }

  static String answer(String[] request) throws InterruptedException {
    switch (request[0]) {
      case "run": return "" + run(request[1], Integer.parseInt(request[2]), Long.parseLong(request[3]));
      case "publish": return "" + run(request[1], 0, Long.parseLong(request[2]));
      case "wake": return wake(Integer.parseInt(request[1]));
      default: throw new IllegalArgumentException("no request " + request[0]);
    }
  }

  public static void main(String[] arguments) throws Exception {
    if (arguments[0].equals("8")) {
      factory = Word::new;
    } else {
      factory = Block::new;
    }
    waits = arguments[1];
    final BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      String said;
      try {
        said = "ok " + answer(line.split(" "));
      } catch (RuntimeException e) {
        said = e.getMessage() != null ? e.getMessage() : e.toString();
      }
      System.out.println(said);
      System.out.flush();
    }
    // why: threads that still run after something went wrong would keep the process
    System.exit(0);
  }
}
