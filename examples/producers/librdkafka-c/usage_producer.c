/* Emits one call leg with librdkafka: usage_producer BROKERS TENANT CALL_ID
 *
 * cc usage_producer.c -o usage_producer -lrdkafka -ljansson   (Debian: librdkafka-dev, libjansson-dev)
 */
#include <jansson.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

static void fail(const char *what) {
    fprintf(stderr, "not stored, send the same event again: %s\n", what);
    exit(1);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
    char error[512];
    if (rd_kafka_conf_set(conf, name, value, error, sizeof error) != RD_KAFKA_CONF_OK)
        fail(error);
}

static void delivered(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque) {
    (void)producer, (void)opaque;
    if (message->err)
        fail(rd_kafka_err2str(message->err));
}

/* RFC 3339 in UTC with milliseconds. */
static char *rfc3339(struct timeval at, char *text, size_t size) {
    struct tm utc;
    size_t length = strftime(text, size, "%Y-%m-%dT%H:%M:%S", gmtime_r(&at.tv_sec, &utc));
    snprintf(text + length, size - length, ".%03dZ", (int)(at.tv_usec / 1000));
    return text;
}

int main(int count, char **arguments) {
    if (count != 4)
        return 2;
    const char *brokers = arguments[1], *tenant = arguments[2], *call_id = arguments[3];
    char answered_at[40], ended_at[40];
    struct timeval ended, answered;
    gettimeofday(&ended, NULL);
    answered = ended;
    answered.tv_sec -= 219;

    json_t *event = json_pack(
        "{s:s, s:s+, s:s, s:s, s:s, s:{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:b}}",
        "specversion", "1.0",
        "id", call_id, "/a", /* made of the platform's own record id: a retry repeats id and source */
        "source", "/telephony/sbc-eu-1",
        "type", "telephony.call.v1",
        "subject", tenant,
        "data",
        "tenant_id", tenant,
        "call_id", call_id,
        "leg_id", "a",
        "record_kind", "final",
        "call_type", "user_out",
        "caller", "+15555550100",
        "callee", "+442079460018",
        "number_type", "user",
        "answered_at", rfc3339(answered, answered_at, sizeof answered_at),
        "ended_at", rfc3339(ended, ended_at, sizeof ended_at),
        "connected_ms", 219000,
        "user_id", "u-1",
        "user_country", "US",
        "credits_licensed", 1);
    char *value = event ? json_dumps(event, JSON_COMPACT) : NULL;
    if (!value)
        fail("the event is no valid UTF-8");

    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", brokers);
    set(conf, "partitioner", "murmur2_random"); /* librdkafka's default, CRC32, places keys elsewhere */
    set(conf, "enable.idempotence", "true");    /* acks=all, and the client's own retries store nothing twice */
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    char error[512];
    rd_kafka_t *producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
    if (!producer)
        fail(error);

    rd_kafka_resp_err_t refused = rd_kafka_producev(
        producer,
        RD_KAFKA_V_TOPIC("usage.call.v1"),
        RD_KAFKA_V_KEY(tenant, strlen(tenant)),
        RD_KAFKA_V_VALUE(value, strlen(value)),
        RD_KAFKA_V_HEADER("content-type", "application/cloudevents+json", -1),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_END);
    if (refused)
        fail(rd_kafka_err2str(refused));
    if (rd_kafka_flush(producer, 30000))
        fail("no answer in 30 s");

    rd_kafka_destroy(producer);
    free(value);
    json_decref(event);
    return 0;
}
