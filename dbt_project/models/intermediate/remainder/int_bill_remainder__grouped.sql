{{ config(materialized='incremental') }}

with

lines as (

    select * from {{ ref('int_bill_charges') }}

),

reservations as (

    select * from {{ ref('stg_cur__capacity_reservations') }}

),

entered_reservations as (

    select
        billing_month,
        capacity_reservation_id,
        {{ label_entries('tags') }} as tag_entries
    from reservations

),

tagged_reservations as (

    select
        billing_month,
        capacity_reservation_id,
        {{ map_of_entries('tag_entries') }} as tags -- noqa: PRS
    from entered_reservations

),

categorized as (

    select
        *,
        case
            when is_capacity_block_fee then 'capacity_blocks'
            when line_type = 'Tax' then 'tax'
            when line_type = 'Credit' then 'credits'
            when line_type = 'Refund' then 'refunds'
            when line_type like '%Discount' then 'discounts'
            when
                line_type in (
                    'RIFee',
                    'SavingsPlanRecurringFee',
                    'SavingsPlanUpfrontFee',
                    'SavingsPlanNegation'
                )
                or (line_type = 'Fee' and is_of_reservation)
                then 'unused_commitments'
            when
                capacity_reservation_status = 'Unused'
                or resource_id like '%:capacity-reservation/%'
                or usage_type like '%UnusedBox:%'
                or usage_type like '%UnusedDed:%'
                then 'unused_capacity_reservations'
            when
                product_code like 'AWSSupport%'
                or product_code like 'OCB%'
                or product_code = 'AWSPremiumSupport'
                then 'support'
            when product_code = 'AmazonEKS' then 'eks_fees'
            when usage_type like '%EBS:%' or resource_id like 'vol-%' then 'ebs'
            when
                product_family = 'Data Transfer'
                or product_code = 'AWSDataTransfer'
                or usage_type like '%DataTransfer-%'
                or {{ regexp_like('usage_type', '-AWS-(In|Out)-Bytes$') }}
                then 'data_transfer'
            else 'other_services'
        end as category
    from lines
    where node_instance_id is null and not carries_pod

),

-- What was bought beside the hour has no tags of its own in the bill's parts.
tagged as (

    select
        categorized.*,
        case
            when cardinality(categorized.resource_tags) > 0
                then categorized.resource_tags
            else coalesce(tagged_reservations.tags, {{ no_tags() }})
        end as tags,
        {{ regexp_extract(
            'categorized.resource_id', ':eks:[^:]*:[^:]*:cluster/([^/]+)$', 1
        ) }} as cluster_in_arn,
        case
            when
                categorized.category in (
                    'unused_capacity_reservations', 'capacity_blocks'
                )
                then
                    coalesce(
                        categorized.capacity_reservation_id, categorized.resource_id
                    )
            when
                categorized.category = 'ebs'
                or categorized.resource_id like '%:loadbalancer/%'
                then categorized.resource_id
        end as kept_resource_id
    from categorized
    left join tagged_reservations
        on
            categorized.billing_month = tagged_reservations.billing_month
            and categorized.capacity_reservation_id
            = tagged_reservations.capacity_reservation_id

),

named as (

    select
        *,
        coalesce(cluster_in_arn, {{ tagged_cluster('tags') }}) as told_cluster_name,
        {{ cluster_in_key('tags') }} as cluster_key,
        {{ tagged_namespace('tags') }} as namespace,
        {{ owner_hint('tags') }} as owner_hint
    from tagged

),

-- Names as they are written, by how a tag's key spells them, if that is one name.
clusters as (

    select
        billing_month,
        {{ as_in_key('told_cluster_name') }} as cluster_key,
        min(told_cluster_name) as cluster_name
    from named
    where told_cluster_name is not null
    group by billing_month, {{ as_in_key('told_cluster_name') }}
    having count(distinct told_cluster_name) = 1

),

-- Where there are too many ids for a reader, they are summed.
id_counts as (

    select
        billing_month,
        payer_account_id,
        category,
        count(distinct kept_resource_id) <= {{ most_resource_ids() }} as is_few
    from named
    group by billing_month, payer_account_id, category

),

detailed as (

    select
        named.billing_month,
        named.payer_account_id,
        named.usage_account_id,
        named.region_code,
        named.category,
        named.line_type,
        named.usage_started_at::date as usage_date,
        named.product_code,
        coalesce(named.told_cluster_name, clusters.cluster_name, named.cluster_key)
            as cluster_name,
        named.namespace,
        named.owner_hint,
        case when id_counts.is_few then named.kept_resource_id end as resource_id,
        named.instance_type,
        {% for basis in bases() -%}
        named.{{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from named
    inner join id_counts
        on
            named.billing_month = id_counts.billing_month
            and named.payer_account_id = id_counts.payer_account_id
            and named.category = id_counts.category
    left join clusters
        on
            named.billing_month = clusters.billing_month
            and named.cluster_key = clusters.cluster_key

),

{% set grain = [
    'billing_month', 'payer_account_id', 'usage_account_id', 'region_code', 'category',
    'line_type', 'usage_date', 'product_code', 'cluster_name', 'namespace', 'owner_hint',
    'resource_id', 'instance_type',
] -%}
final as (

    select
        {% for fact in grain %}{{ fact }},
        {% endfor -%}
        count(*) as line_count,
        {% for basis in bases() -%}
        sum({{ basis }}_usd)::decimal(38, 10) as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from detailed
    group by
        {% for fact in grain %}{{ fact }}{{ ',' if not loop.last }}
        {% endfor %}

)

select * from final
