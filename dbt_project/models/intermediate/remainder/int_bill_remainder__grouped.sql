{{ config(materialized='incremental') }}

with

lines as (

    select * from {{ ref('int_bill_charges') }}

),

reservations as (

    select * from {{ ref('stg_cur__capacity_reservations') }}

),

pod_hours as (

    select * from {{ ref('stg_k8s__pod_hours') }}

),

tagged_reservations as (

    select
        billing_month,
        capacity_reservation_id,
        {{ tagged_owner('tags', tag_in_json) }} as owner
    from reservations

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

named as (

    select
        categorized.*,
        -- What is billed by the month, like tax, has no day.
        case
            when
                categorized.usage_ended_at
                <= categorized.usage_started_at::date::timestamp + interval 1 day
                then categorized.usage_started_at::date
        end as usage_date,
        coalesce(
            {{ regexp_extract('categorized.resource_id', cluster_in_arn(), 1) }},
            {{ tagged_cluster('categorized.resource_tags') }}
        ) as told_cluster_name,
        {{ cluster_in_key('categorized.resource_tags') }} as cluster_key,
        coalesce(
            {{ tagged_namespace('categorized.resource_tags') }},
            {{ regexp_extract('categorized.resource_id', pod_arn(), 3) }}
        ) as namespace,
        {{ tagged_object('categorized.resource_tags') }} as object_name,
        -- A block's idle hours have no tags on the bill, and a reservation may have none.
        coalesce(
            {{ tagged_owner('categorized.resource_tags', user_tag) }},
            tagged_reservations.owner
        ) as owner,
        case
            when
                categorized.category in (
                    'unused_capacity_reservations', 'capacity_blocks'
                )
                then
                    coalesce(
                        categorized.capacity_reservation_id, categorized.resource_id
                    )
            when categorized.category = 'ebs' then categorized.resource_id
            when categorized.category = 'other_services'
                then coalesce(
                    {{ host_id() | replace('resource_id', 'categorized.resource_id') }},
                    case
                        when categorized.resource_id like '%:loadbalancer/%'
                            then categorized.resource_id
                    end
                )
        end as kept_resource_id
    from categorized
    left join tagged_reservations
        on
            categorized.billing_month = tagged_reservations.billing_month
            and categorized.capacity_reservation_id
            = tagged_reservations.capacity_reservation_id

),

-- Names as they are written, by how a tag's key spells them: null if that is not one name.
clusters as (

    select
        billing_month,
        {{ as_in_key('cluster_name') }} as cluster_key,
        case
            when min(cluster_name) = max(cluster_name) then min(cluster_name)
        end as cluster_name
    from (
        select
            billing_month,
            told_cluster_name as cluster_name
        from named
        union all
        select
            billing_month,
            cluster_name
        from pod_hours
    ) as written
    where cluster_name is not null
    group by billing_month, {{ as_in_key('cluster_name') }}

),

found as (

    select
        named.*,
        case
            when named.told_cluster_name is not null then named.told_cluster_name
            when clusters.cluster_key is null then named.cluster_key
            else clusters.cluster_name
        end as cluster_name
    from named
    left join clusters
        on
            named.billing_month = clusters.billing_month
            and named.cluster_key = clusters.cluster_key

),

-- Where there are too many for a reader, they are summed.
counts as (

    select
        billing_month,
        payer_account_id,
        category,
        count(distinct kept_resource_id) <= {{ most_resource_ids() }} as has_few_resources,
        count(
            distinct coalesce(cluster_name, '')
            || '/' || coalesce(namespace, '') || '/' || object_name
        ) <= {{ most_resource_ids() }} as has_few_objects
    from found
    group by billing_month, payer_account_id, category

),

detailed as (

    select
        found.billing_month,
        found.payer_account_id,
        found.usage_account_id,
        found.region_code,
        found.category,
        found.line_type,
        found.usage_date,
        found.product_code,
        found.cluster_name,
        found.namespace,
        coalesce(case when counts.has_few_objects then found.object_name end, found.owner)
            as owner_hint,
        case when counts.has_few_resources then found.kept_resource_id end as resource_id,
        found.instance_type,
        {% for basis in bases() -%}
        found.{{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from found
    inner join counts
        on
            found.billing_month = counts.billing_month
            and found.payer_account_id = counts.payer_account_id
            and found.category = counts.category

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
