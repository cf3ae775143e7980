with

gaps as (

    select * from {{ ref('stg_k8s__inventory_gaps') }}

),

node_hours as (

    select * from {{ ref('int_node_hours') }}

),

hours as (

    select distinct
        billing_month,
        usage_hour
    from node_hours

),

-- An hour that a gap touches counts whole: what it hid of the rest is not known either.
gap_hours as (

    select
        gaps.billing_month,
        hours.usage_hour,
        gaps.cluster_name,
        gaps.instance_id,
        'no ' || gaps.subject || ' in ' || coalesce(gaps.cluster_name, 'its cluster')
        || ' from ' || {{ utc_text('gaps.gap_started_at') }}
        || ' to ' || {{ utc_text('gaps.gap_ended_at') }}
        || ' (' || gaps.consequence || ')' as gap
    from gaps
    inner join hours
        on
            gaps.billing_month = hours.billing_month
            and gaps.gap_started_at < hours.usage_hour + interval '1' hour
            and gaps.gap_ended_at > hours.usage_hour

),

cluster_hours as (

    select
        billing_month,
        cluster_name,
        usage_hour,
        min(gap) as gap
    from gap_hours
    where instance_id is null
    group by billing_month, cluster_name, usage_hour

),

instance_hours as (

    select
        billing_month,
        instance_id,
        usage_hour,
        min(gap) as gap
    from gap_hours
    where instance_id is not null
    group by billing_month, instance_id, usage_hour

),

final as (

    select
        node_hours.billing_month,
        node_hours.payer_account_id,
        node_hours.instance_id,
        node_hours.usage_hour,
        node_hours.cluster_name,
        node_hours.amortized_usd,
        coalesce(cluster_hours.gap, instance_hours.gap) as gap
    from node_hours
    left join cluster_hours
        on
            node_hours.billing_month = cluster_hours.billing_month
            and node_hours.cluster_name = cluster_hours.cluster_name
            and node_hours.usage_hour = cluster_hours.usage_hour
    left join instance_hours
        on
            node_hours.billing_month = instance_hours.billing_month
            and node_hours.instance_id = instance_hours.instance_id
            and node_hours.usage_hour = instance_hours.usage_hour
    where cluster_hours.gap is not null or instance_hours.gap is not null

)

select * from final
