with

lines as (

    select * from {{ ref('stg_cur__bill_lines') }}

),

{{ known_bases() }},

-- AWS's own split rows: their money stands only in columns of their own, and the lines
-- that they split are on the bill already.
classified as (

    select
        lines.*,
        known.is_amortized_known,
        known.is_net_amortized_known,
        known.is_public_on_demand_known,
        coalesce(split_parent_resource_id, '') <> '' as is_aws_split_row,
        coalesce(net_unblended_usd, unblended_usd) as net_usd,
        coalesce(reservation_arn, '') <> '' as is_of_reservation,
        -- HyperPod's types are EC2's with a prefix.
        regexp_replace(coalesce(product_instance_type, ''), '^ml[.]', '') as billed_type,
        {{ capacity_reservation_id() }} as capacity_reservation_id
    from lines
    left join known
        on
            lines.billing_month = known.billing_month
            and lines.payer_account_id = known.payer_account_id

),

-- The amortisation of method.md, "Cost bases". A line whose cell is empty keeps what was
-- billed; where the column is missing, the basis is unknown and so null in the end.
costed as (

    select
        *,
        case
            when line_type = 'DiscountedUsage'
                then coalesce(reservation_effective_usd, unblended_usd)
            when line_type = 'SavingsPlanCoveredUsage'
                then coalesce(savings_plan_effective_usd, unblended_usd)
            when line_type in ('SavingsPlanNegation', 'SavingsPlanUpfrontFee')
                then 0
            when line_type = 'SavingsPlanRecurringFee'
                then coalesce(
                    savings_plan_commitment_usd - coalesce(savings_plan_used_usd, 0),
                    unblended_usd
                )
            when line_type = 'RIFee'
                then coalesce(
                    reservation_unused_upfront_usd + reservation_unused_recurring_usd,
                    reservation_unused_upfront_usd,
                    reservation_unused_recurring_usd,
                    unblended_usd
                )
            -- A Capacity Block's fee is spread later, where its hours are known.
            when line_type = 'Fee' and is_of_reservation and capacity_reservation_id is null
                then 0
            else unblended_usd
        end as amortized_usd
    from classified

),

net_costed as (

    select
        *,
        case
            when line_type = 'DiscountedUsage'
                then coalesce(reservation_net_effective_usd, amortized_usd)
            when line_type = 'SavingsPlanCoveredUsage'
                then coalesce(savings_plan_net_effective_usd, amortized_usd)
            when line_type = 'RIFee'
                then coalesce(
                    reservation_net_unused_upfront_usd
                    + reservation_net_unused_recurring_usd,
                    reservation_net_unused_upfront_usd,
                    reservation_net_unused_recurring_usd,
                    amortized_usd
                )
            when line_type in (
                'SavingsPlanNegation', 'SavingsPlanUpfrontFee', 'SavingsPlanRecurringFee'
            )
                then amortized_usd
            when line_type = 'Fee' and is_of_reservation and capacity_reservation_id is null
                then 0
            else net_usd
        end as net_amortized_usd
    from costed

),

flagged as (

    select
        billing_month,
        payer_account_id,
        usage_account_id,
        region_code,
        line_type,
        product_code,
        product_family,
        usage_type,
        operation,
        resource_id,
        usage_started_at,
        usage_ended_at,
        usage_amount,
        product,
        resource_tags,
        is_of_reservation,
        is_aws_split_row,
        capacity_reservation_id,
        capacity_reservation_status,
        -- Only Capacity Blocks are sold for a fee.
        coalesce(
            line_type in ('Fee', 'Refund') and capacity_reservation_id is not null, false
        ) as is_capacity_block_fee,
        coalesce(
            lower(capacity_reservation_type) like '%capacity block%'
            or usage_type like '%CapacityBlock%',
            false
        ) as is_of_capacity_block,
        -- A line that lacks what decides it carries none: null would be neither.
        coalesce(
            not is_aws_split_row
            and line_type in ('Usage', 'DiscountedUsage', 'SavingsPlanCoveredUsage')
            and operation like 'RunInstances%'
            and resource_id like 'i-%'
            and (
                product_family in ('Compute Instance', 'Compute Instance (bare metal)')
                -- Spot lines come without product attributes.
                or (
                    coalesce(product_family, '') = ''
                    and {{ regexp_like(
                        'usage_type', '(^|-)' ~ instance_usage() ~ '(:|$)'
                    ) }}
                )
            ),
            false
        ) as carries_instance,
        {{ carries_pod() }} as carries_pod,
        coalesce(
            nullif(billed_type, ''),
            {{ regexp_extract('usage_type', ':(ml[.])?([a-z0-9-]+[.][a-z0-9-]+)$', 2) }}
        ) as instance_type,
        -- us-east-1 has no prefix.
        {{ regexp_extract(
            'usage_type', '^([A-Z0-9]+)-(' ~ instance_usage() ~ '|Cluster:ml[.])', 1
        ) }} as usage_type_prefix,
        unblended_usd,
        case when is_amortized_known then amortized_usd end::decimal(38, 10)
            as amortized_usd,
        case when is_net_amortized_known then net_amortized_usd end::decimal(38, 10)
            as net_amortized_usd,
        case
            when is_public_on_demand_known then coalesce(public_on_demand_usd, 0)
        end::decimal(38, 10) as public_on_demand_usd
    from net_costed

),

-- What of a node-hour the line is. Only use is: credits and refunds stay in the remainder.
final as (

    select
        *,
        case
            when carries_instance then 'instance'
            when
                is_aws_split_row
                or line_type not in ('Usage', 'DiscountedUsage', 'SavingsPlanCoveredUsage')
                then null
            when product_code = 'AmazonEKS' and resource_id like 'i-%'
                then 'management_fee'
            when {{ host_id() }} is not null and usage_type like '%HostUsage%' then 'host'
            when product_code = 'AmazonSageMaker' and usage_type like '%Cluster:ml.%'
                then 'instance'
        end as node_component,
        -- Null where the line names no instance: a host, a whole HyperPod cluster.
        case
            when carries_instance then resource_id
            when is_aws_split_row then null
            when product_code = 'AmazonEKS' and resource_id like 'i-%' then resource_id
            when product_code = 'AmazonSageMaker' and usage_type like '%Cluster:ml.%'
                then {{ regexp_extract('resource_id', '(i-[0-9a-f]{8,17})$', 1) }}
        end as node_instance_id
    from flagged

)

select * from final
