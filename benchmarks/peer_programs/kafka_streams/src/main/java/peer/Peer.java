package peer;

import static org.apache.kafka.streams.StreamsConfig.consumerPrefix;
import static org.apache.kafka.streams.StreamsConfig.producerPrefix;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.state.Stores;

/** The job as a Kafka Streams topology: RocksDB stores with changelogs, exactly-once v2, a commit every 100 ms. */
public final class Peer {
    static final String SEEN = "seen";
    static final String ACCOUNTS = "accounts";
    static final String LEDGER = "ledger";
    static final String COMMANDS = "commands";

    private Peer() {}

    private static Topology topology(Deck deck) {
        var read = new ByteArrayDeserializer();
        var write = new ByteArraySerializer();
        var seen = Stores.persistentKeyValueStore(SEEN);
        var accounts = Stores.persistentKeyValueStore(ACCOUNTS);
        Topology topology = new Topology();
        topology.addSource("calls", read, read, "usage.call.v1");
        topology.addSource("results", read, read, "recharge.results.v1");
        topology.addProcessor("rate", () -> new Rate(deck), "calls");
        topology.addProcessor("credit", Credit::new, "results");
        // A key that is written once gains nothing from the cache; a busy account does: one record per commit.
        topology.addStateStore(
                Stores.keyValueStoreBuilder(seen, Serdes.Bytes(), Serdes.ByteArray())
                        .withCachingDisabled()
                        .withLoggingEnabled(Map.of()),
                "rate");
        topology.addStateStore(
                Stores.keyValueStoreBuilder(accounts, Serdes.Bytes(), Serdes.ByteArray())
                        .withCachingEnabled()
                        .withLoggingEnabled(Map.of()),
                "rate",
                "credit");
        topology.addSink(LEDGER, "ledger.v1", write, write, "rate");
        topology.addSink(COMMANDS, "recharge.commands.v1", write, write, "rate");
        return topology;
    }

    private static Properties settings() {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "kafka-streams");
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, System.getenv("CREDITS_BROKERS"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, System.getenv("CREDITS_DATA_DIR"));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1); // two on one core were 20 % slower
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64L << 20);
        settings.put(StreamsConfig.MAX_TASK_IDLE_MS_CONFIG, -1);
        settings.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 5000);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        settings.put(consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        settings.put(consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 5000);
        settings.put(consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 2 << 20);
        settings.put(producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        settings.put(producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 20);
        settings.put(producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);
        settings.put(producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 128L << 20);
        return settings;
    }

    public static void main(String[] arguments) throws IOException {
        Deck deck = new Deck(Path.of(System.getenv("CREDITS_RATES")));
        KafkaStreams streams = new KafkaStreams(topology(deck), settings());
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(10))));
        streams.start();
    }
}
